throw new Error('thrown while loading')
exports.handler = async () => ({ statusCode: 200 })
