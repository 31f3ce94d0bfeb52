import { schedule as every } from '@netlify/functions'
const CRON = '@daily'
export const handler = every(CRON, async () => ({ statusCode: 200 }))
