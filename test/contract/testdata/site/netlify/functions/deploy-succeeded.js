exports.handler = async () => ({ statusCode: 200, body: 'event function called' })
