import { handler } from './lib/v1.mjs'
export { handler }
