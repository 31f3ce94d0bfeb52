import { config as base } from './lib/run.mjs'
export default async () => new Response('x')
export const config = { ...base, timeout: 20 }
