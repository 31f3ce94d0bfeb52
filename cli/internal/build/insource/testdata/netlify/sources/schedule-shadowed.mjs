import { schedule } from '@netlify/functions'
const at = schedule
export const handler = at('@daily', async () => ({ statusCode: 200 }))
