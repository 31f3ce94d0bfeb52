exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const out = awslambda.HttpResponseStream.from(stream, { statusCode: 206, headers: { 'X-Kind': 'v1' }, cookies: ['a=1', 'b=2'] })
  for (let i = 0; i < 3; i++) {
    out.write(`part ${i} `)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  if (event.body === 'fail') throw new Error('failed half-way')
  out.end()
})
