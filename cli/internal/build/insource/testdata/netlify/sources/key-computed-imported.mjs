import { key } from './lib/run.mjs'
export default async () => new Response('x')
export const config = { [key]: '@daily' }
