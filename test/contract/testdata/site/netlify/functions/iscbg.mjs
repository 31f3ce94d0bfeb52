import { report } from '../../lib/report.mjs'
export default async (req, context) => {
  await report(req.headers, { method: req.method, url: req.url, body: await req.text(), headers: Object.fromEntries(req.headers), contextKeys: Object.keys(context).sort(), params: context.params })
  return new Response('x')
}
export const config = { background: true, path: '/isc-bg' }
