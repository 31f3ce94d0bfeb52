import { stream } from '@netlify/functions'
export const handler = stream(async () => ({ statusCode: 200, body: 'x' }))
