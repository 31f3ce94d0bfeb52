export default async () => new Response('x')
export const config = { memory: 'plenty' }
