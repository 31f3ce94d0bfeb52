const CRON = '@daily'
export default async () => new Response('x')
export const config = { schedule: CRON }
