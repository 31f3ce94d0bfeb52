import { schedule } from '@netlify/functions'
export default schedule('@daily', async () => ({ statusCode: 200 }))
