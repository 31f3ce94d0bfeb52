export { default } from './lib/run.mjs'
export const config = { schedule: '@hourly' }
