import type { Config } from '@netlify/functions'
export default async (req: Request) => new Response('at ' + new URL(req.url).pathname)
export const config = { path: '/as' } as Config
