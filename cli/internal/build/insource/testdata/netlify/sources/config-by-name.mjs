const settings = { schedule: '@daily' }
export default async () => new Response('x')
export const config = settings
