import { report } from '../../lib/report.mjs'
export default async (req, context) => {
  context.waitUntil((async () => { await new Promise((r) => setTimeout(r, 50)); await report(req.headers, { waited: true }) })())
  return new Response('early')
}
