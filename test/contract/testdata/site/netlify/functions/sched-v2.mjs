import { report } from '../../lib/report.mjs'
export default async (req) => {
  await report(req.headers, { method: req.method, url: req.url, headers: Object.fromEntries(req.headers), body: await req.text() })
  return new Response('x')
}
export const config = { schedule: '@hourly' }
