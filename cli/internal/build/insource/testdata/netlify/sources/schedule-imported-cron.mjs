import { schedule } from '@netlify/functions'
import { cron } from './lib/run.mjs'
export const handler = schedule(cron, async () => ({ statusCode: 200 }))
