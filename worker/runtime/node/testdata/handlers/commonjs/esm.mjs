export const handler = async () => ({ statusCode: 200, body: 'ES module in a CommonJS package' })
