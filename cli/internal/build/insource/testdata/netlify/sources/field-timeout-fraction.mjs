export default async () => new Response('x')
export const config = { timeout: 0.5 }
