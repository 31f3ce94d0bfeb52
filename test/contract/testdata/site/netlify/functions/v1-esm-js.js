import plain from '../../lib/plain.cjs'
export const handler = async () => ({ statusCode: 200, body: `esm in js, ${plain.plain}` })
