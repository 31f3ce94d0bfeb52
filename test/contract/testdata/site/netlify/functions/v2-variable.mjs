const path = '/variable'
export default async (req) => new Response('at ' + new URL(req.url).pathname)
export const config = { path }
