import run from './lib/run.mjs'
export default run
export const config = { schedule: '@hourly' }
