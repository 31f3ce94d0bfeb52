import { schedule } from '@netlify/functions'
export const handler = schedule('0 3 * * 1', async () => ({ statusCode: 200 }))
