import { schedule, type Handler } from '@netlify/functions'
const run: Handler = async () => ({ statusCode: 200 })
const handler = schedule('@daily', run)
export { handler }
