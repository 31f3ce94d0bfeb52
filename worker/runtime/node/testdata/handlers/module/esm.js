export const handler = async () => ({ statusCode: 200, body: 'ES module by its package' })
