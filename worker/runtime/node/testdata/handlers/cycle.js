exports.handler = async () => {
  const a = { statusCode: 200 }
  a.a = a
  return a
}
