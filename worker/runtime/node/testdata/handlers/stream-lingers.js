const fs = require('node:fs')
// Streams as Netlify's own bootstrap does: it tells the platform about itself in
// headers, and goes on after the response until its promises have settled.
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const headers = { 'x-own': 'a', 'x-nf-invocation-metadata': 'e30', 'x-nf-start-timestamp': '1', 'x-nf-fetch-timing': 'x', 'x-nf-request-flags': 'y' }
  const out = awslambda.HttpResponseStream.from(stream, { statusCode: 200, headers })
  out.end('all of it')
  while (!fs.existsSync(event.body)) await new Promise((resolve) => setTimeout(resolve, 5))
  console.log('done')
})
