export default async () => new Response('x')
export type config = { schedule: '@daily' }
