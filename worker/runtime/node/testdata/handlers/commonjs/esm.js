import path from 'node:path'
export const handler = async () => ({ statusCode: 200, body: path.sep })
