import { schedule } from '@netlify/functions'
export const handler = schedule('@weekly' as string, async () => ({ statusCode: 200 }))
