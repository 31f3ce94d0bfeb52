export const handler = async () => ({ statusCode: 200, body: ((x: string): string => `tsx ${x}`)('v1') })
