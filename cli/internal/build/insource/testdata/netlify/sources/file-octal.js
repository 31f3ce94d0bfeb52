exports.mode = 0755
exports.handler = async () => ({ statusCode: 200 })
