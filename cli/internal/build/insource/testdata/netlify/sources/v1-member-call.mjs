import * as lib from './lib/run.mjs'
export const handler = lib.wrap(async () => ({ statusCode: 200 }))
