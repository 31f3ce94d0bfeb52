const enum Cron { Daily = '@daily' }
export default async () => new Response('x')
export const config = { schedule: Cron.Daily }
