exports.handler = async () => {
  const body = {}
  body.body = body
  return { statusCode: 200, body: JSON.stringify(body) }
}
