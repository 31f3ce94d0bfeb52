import { createRequire } from 'module'
import plain from '../../lib/plain.cjs'
import value from '../../lib/value.json' with { type: 'json' }
const require = createRequire(import.meta.url)
export async function handler() { return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ plain: plain.plain, value, meta: typeof import.meta.url, path: require('path').sep }) } }
