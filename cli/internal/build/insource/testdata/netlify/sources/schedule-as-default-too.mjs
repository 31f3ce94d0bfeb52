import { schedule } from '@netlify/functions'
const handler = schedule('@daily', async () => ({ statusCode: 200 }))
export { handler, handler as default }
