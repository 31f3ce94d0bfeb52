import { report } from '../../lib/report.mjs'
export default async (req) => {
  await report(req.headers, { method: req.method, url: req.url, body: await req.text(), event: req.headers.get('x-nf-event'), agent: req.headers.get('user-agent') })
  return new Response('x')
}
export const config = { schedule: '@daily' }
