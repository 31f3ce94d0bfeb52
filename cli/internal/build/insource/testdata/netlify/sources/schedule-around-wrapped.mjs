import { schedule } from '@netlify/functions'
import { wrap } from './lib/run.mjs'
export const handler = schedule('@daily', wrap(async () => ({ statusCode: 200 })))
