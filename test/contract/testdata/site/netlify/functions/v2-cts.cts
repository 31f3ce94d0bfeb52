import type { Context } from '@netlify/functions'
exports.default = async (req: Request, context: Context) => new Response('cts ' + context.params.x)
exports.config = { path: '/cts/:x' }
