// Both a promise and a callback: which one wins?
exports.handler = async (event, context, callback) => {
  callback(null, { statusCode: 200, body: 'callback' })
  return { statusCode: 200, body: 'promise' }
}
