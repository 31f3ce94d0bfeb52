export const handler = async () => ({ statusCode: 200 })
export const config = { name: 'x' }
