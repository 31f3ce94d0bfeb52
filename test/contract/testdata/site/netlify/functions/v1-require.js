const { plain, where } = require('../../lib/plain.cjs')
const value = require('../../lib/value.json')
exports.handler = async () => {
  const m = await import('../../lib/reexported.mjs')
  return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ plain, where, value, late: typeof m.handler }) }
}
