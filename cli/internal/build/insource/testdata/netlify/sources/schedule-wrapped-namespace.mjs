import * as functions from '@netlify/functions'
import { wrap } from './lib/run.mjs'
export const handler = wrap(functions.schedule('@daily', async () => ({ statusCode: 200 })))
