export default async () => new Response('x')
export const config = { memory: 2048, vcpu: 1 }
