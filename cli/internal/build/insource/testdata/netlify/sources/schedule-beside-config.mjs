import { schedule } from '@netlify/functions'
export const handler = schedule('@daily', async () => ({ statusCode: 200 }))
export const config = { background: true }
