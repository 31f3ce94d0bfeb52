import functions from '@netlify/functions'
export const handler = functions.schedule('@daily', async () => ({ statusCode: 200 }))
