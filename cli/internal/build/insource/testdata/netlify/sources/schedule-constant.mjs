import { schedule } from '@netlify/functions'
const cron = '@weekly'
export const handler = schedule(cron, async () => ({ statusCode: 200 }))
