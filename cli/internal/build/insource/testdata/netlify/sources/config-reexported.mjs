export default async () => new Response('x')
export { config } from './lib/run.mjs'
