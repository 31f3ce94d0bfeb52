import { typed } from '../../lib/typed.ts'
import plain from '../../lib/plain.cjs'
import awaited, { esm } from '../../lib/esm.mjs'
import value from '../../lib/value.json' with { type: 'json' }
const late = await import('../../lib/reexported.mjs')
export default async () => Response.json({ typed: typed(5), plain: plain.plain, esm, awaited, value, late: typeof late.handler, meta: typeof import.meta.url, dirname: typeof __dirname })
