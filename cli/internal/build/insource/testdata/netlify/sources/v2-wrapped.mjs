import { wrap } from './lib/run.mjs'
export default wrap(async () => new Response('x'))
export const config = { schedule: '@hourly' }
