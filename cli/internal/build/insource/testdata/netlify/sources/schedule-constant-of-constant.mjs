import { schedule } from '@netlify/functions'
const weekly = '@weekly'
const cron = weekly
export const handler = schedule(cron, async () => ({ statusCode: 200 }))
