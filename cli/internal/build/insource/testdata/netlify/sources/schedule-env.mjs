import { schedule } from '@netlify/functions'
export const handler = schedule(process.env.CRON, async () => ({ statusCode: 200 }))
