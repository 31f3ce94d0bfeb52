import { x } from './missing.js'
import nope from 'nope'
export default () => new Response(x + nope)
