import { config } from './lib/run.mjs'
export default async () => new Response('x')
export { config }
