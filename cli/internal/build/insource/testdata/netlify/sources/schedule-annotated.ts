import { schedule, type Handler } from '@netlify/functions'
export const handler: Handler = schedule('@daily', async () => ({ statusCode: 200 }))
