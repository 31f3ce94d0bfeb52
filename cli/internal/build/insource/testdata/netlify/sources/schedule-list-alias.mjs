import { schedule } from '@netlify/functions'
const run = schedule('@daily', async () => ({ statusCode: 200 }))
export { run as handler }
