import { schedule } from '@netlify/functions'
const run = schedule('@daily', async () => ({ statusCode: 200 }))
export const handler = async () => ({ statusCode: 200 })
