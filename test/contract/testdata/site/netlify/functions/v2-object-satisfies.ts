import type { Config } from '@netlify/functions'
export default { async fetch(req: Request) { return new Response('object satisfies ' + new URL(req.url).pathname) }, config: { path: '/object-satisfies' } satisfies Config }
