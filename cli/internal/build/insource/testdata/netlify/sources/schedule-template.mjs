import { schedule } from '@netlify/functions'
export const handler = schedule(`@weekly`, async () => ({ statusCode: 200 }))
