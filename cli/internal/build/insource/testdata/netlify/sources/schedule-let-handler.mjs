import { schedule } from '@netlify/functions'
let handler
handler = schedule('@daily', async () => ({ statusCode: 200 }))
export { handler }
