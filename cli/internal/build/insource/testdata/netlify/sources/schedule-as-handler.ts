import { schedule, type Handler } from '@netlify/functions'
export const handler = schedule('@daily', async () => ({ statusCode: 200 })) as Handler
