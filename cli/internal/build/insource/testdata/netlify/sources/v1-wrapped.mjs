import { wrap } from './lib/run.mjs'
export const handler = wrap(async () => ({ statusCode: 200 }))
