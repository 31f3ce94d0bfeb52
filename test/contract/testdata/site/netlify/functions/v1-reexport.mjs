export { handler } from '../../lib/reexported.mjs'
