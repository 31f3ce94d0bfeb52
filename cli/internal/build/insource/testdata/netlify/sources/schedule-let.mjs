import { schedule } from '@netlify/functions'
let cron = '@weekly'
export const handler = schedule(cron, async () => ({ statusCode: 200 }))
