export default () => new Response()
export const config = { schedule: process.env.CRON }
