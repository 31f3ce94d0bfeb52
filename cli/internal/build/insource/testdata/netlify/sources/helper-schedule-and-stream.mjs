import { schedule, stream } from '@netlify/functions'
export const handler = schedule('@daily', stream(async () => ({ statusCode: 200, body: 'x' })))
