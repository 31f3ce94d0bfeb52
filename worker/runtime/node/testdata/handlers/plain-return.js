exports.handler = () => ({ statusCode: 200, body: 'returned' })
