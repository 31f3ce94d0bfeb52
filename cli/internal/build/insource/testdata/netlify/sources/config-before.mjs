export const config = { schedule: '@daily' }
export default async () => new Response('x')
