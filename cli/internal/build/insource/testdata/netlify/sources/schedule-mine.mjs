import { schedule } from './lib/run.mjs'
export const handler = schedule('@daily', async () => ({ statusCode: 200 }))
