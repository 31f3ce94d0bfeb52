export { run as default } from './lib/run.mjs'
