export { handler } from './lib/v1.mjs'
