export { handler } from './lib/v1.mjs'
export default async () => new Response('x')
