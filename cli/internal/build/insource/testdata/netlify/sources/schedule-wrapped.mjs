import { schedule } from '@netlify/functions'
import { wrap } from './lib/run.mjs'
export const handler = wrap(schedule('@daily', async () => ({ statusCode: 200 })))
