exports.handler = async () => ({ statusCode: 200, body: 'dir-named.js' })
