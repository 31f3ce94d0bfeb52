export default async () => new Response('x')
export const other = 1, config = { schedule: '@daily' }
