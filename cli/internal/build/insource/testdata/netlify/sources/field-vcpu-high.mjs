export default async () => new Response('x')
export const config = { vcpu: 4 }
