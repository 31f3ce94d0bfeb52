import { schedule as at } from '@netlify/functions'
export const handler = at('@daily', async () => ({ statusCode: 200 }))
