exports.handler = async () => {
  Promise.reject(new Error('nobody awaited this'))
  return { statusCode: 200, body: 'looks fine' }
}
