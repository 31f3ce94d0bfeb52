import { report } from '../../lib/report.mjs'
export default async (req, context) => {
  const seen = { method: req.method, url: req.url, body: await req.text(), event: req.headers.get('x-nf-event'), agent: req.headers.get('user-agent'), params: context.params }
  await report(req.headers, seen)
  return Response.json(seen)
}
export const config = { schedule: '@hourly' }
