import { basename } from 'node:path'
const started = await Promise.resolve('top-level await')
export const handler = async () => ({ statusCode: 200, body: `${started} in ${basename(import.meta.url)}` })
