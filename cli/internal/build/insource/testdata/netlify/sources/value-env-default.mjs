export default async () => new Response('x')
export const config = { schedule: process.env.CRON ?? '@daily' }
