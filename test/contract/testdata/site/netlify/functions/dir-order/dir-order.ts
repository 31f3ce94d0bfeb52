export const handler = async () => ({ statusCode: 200, body: 'dir-order.ts' })
