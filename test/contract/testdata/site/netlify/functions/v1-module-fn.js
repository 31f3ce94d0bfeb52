module.exports = async () => ({ statusCode: 200, body: 'module.exports is the function' })
