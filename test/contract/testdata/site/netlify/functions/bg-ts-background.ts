import type { Handler } from '@netlify/functions'
import { report } from '../../lib/report.mjs'
export const handler: Handler = async (event) => { await report(event.headers, { body: event.body }); return { statusCode: 200 } }
