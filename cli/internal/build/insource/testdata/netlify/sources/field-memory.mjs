export default async () => new Response('x')
export const config = { memory: '2gb' }
