enum Cron { Daily = '@daily', Often = '*/5 * * * *' }
export default async () => new Response('x')
export const config = { schedule: Cron.Often }
