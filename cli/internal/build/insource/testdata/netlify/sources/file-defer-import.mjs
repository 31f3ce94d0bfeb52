const lib = import('./lib/run.mjs')
export default async () => new Response(String(await lib))
export const config = { schedule: '@daily' }
