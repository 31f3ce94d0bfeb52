let cron = '@daily'
export default async () => new Response('x')
export const config = { schedule: cron }
