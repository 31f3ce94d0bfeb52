import { report } from '../../lib/report.mjs'
export default async (req, context) => { await report(req.headers, { params: context.params, url: req.url }) }
export const config = { path: '/bg/:id', method: 'POST' }
