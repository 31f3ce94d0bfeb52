import { schedule } from '@netlify/functions'
import { report } from '../../lib/report.mjs'
export const handler = schedule('0 3 * * 1', async (event, context) => {
  const { path, httpMethod, body, isBase64Encoded, queryStringParameters, headers, multiValueHeaders } = event
  const seen = {
    path, httpMethod, body, isBase64Encoded, queryStringParameters, clientContext: context.clientContext,
    event: headers['X-NF-Event'], agent: headers['user-agent'], multi: 'X-NF-Event' in multiValueHeaders,
  }
  await report(headers, seen)
  return { statusCode: 200, body: JSON.stringify(seen) }
})
