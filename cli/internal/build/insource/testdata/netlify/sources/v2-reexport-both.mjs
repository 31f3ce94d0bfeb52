export { default, config } from './lib/run.mjs'
