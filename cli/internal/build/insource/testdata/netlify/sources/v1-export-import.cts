import lib = require('./lib/v1.cjs')
export const handler = lib.handler
