const where: string = typeof __filename
exports.handler = async () => ({ statusCode: 200, body: `cts ${where}` })
