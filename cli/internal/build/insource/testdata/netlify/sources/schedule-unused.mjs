import { schedule } from '@netlify/functions'
export const handler = async () => ({ statusCode: 200 })
