<!-- a comment
exports.handler = async () => ({ statusCode: 200 })
