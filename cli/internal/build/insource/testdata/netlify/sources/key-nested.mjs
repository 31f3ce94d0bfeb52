export default async () => new Response('x')
export const config = { functions: { schedule: '@daily' } }
