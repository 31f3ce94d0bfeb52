import { lib } from '../../lib/lib.mjs'
export default () => new Response(lib)
