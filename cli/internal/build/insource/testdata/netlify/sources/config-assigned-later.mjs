export default async () => new Response('x')
export const config = {}
config.schedule = '@daily'
