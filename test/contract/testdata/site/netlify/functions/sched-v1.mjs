import { schedule } from '@netlify/functions'
import { report } from '../../lib/report.mjs'
export const handler = schedule('0 3 * * 1', async (event, context) => {
  await report(event.headers, { event, clientContext: context.clientContext })
  return { statusCode: 200, body: 'body-ignored' }
})
