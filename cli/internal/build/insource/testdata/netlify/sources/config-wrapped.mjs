import { wrap } from './lib/run.mjs'
export default async () => new Response('x')
export const config = wrap({ schedule: '@daily' })
