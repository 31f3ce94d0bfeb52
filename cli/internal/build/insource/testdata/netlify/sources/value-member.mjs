const cron = { daily: '@daily' }
export default async () => new Response('x')
export const config = { schedule: cron.daily }
