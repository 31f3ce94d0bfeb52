exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/csv')
  stream.end('a,b\n')
})
