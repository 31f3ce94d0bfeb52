const CRON = '@daily' as const
export default async () => new Response('x')
export const config = { schedule: CRON }
