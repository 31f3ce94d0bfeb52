export const run = async () => new Response('x')
export const wrap = (fn) => fn
export const schedule = (cron, fn) => fn
export const key = 'schedule'
export const cron = '@daily'
export const config = { schedule: '@daily' }
export default run
