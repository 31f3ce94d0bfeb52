import { cron } from './lib/run.mjs'
export default async () => new Response('x')
export const config = { schedule: cron }
