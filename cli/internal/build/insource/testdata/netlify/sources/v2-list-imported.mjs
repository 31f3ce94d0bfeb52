import run from './lib/run.mjs'
export { run as default }
export const config = { schedule: '@daily' }
