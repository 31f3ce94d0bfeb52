import { schedule } from '@netlify/functions'
export const handler = schedule('nope', async () => ({ statusCode: 200 }))
