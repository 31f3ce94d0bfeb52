const { plain, where } = require('../../lib/plain.cjs')
const value = require('../../lib/value.json')
const { typed } = require('../../lib/typed')
exports.handler = async () => {
  const m = await import('../../lib/esm.mjs')
  return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ plain, where, value, typed: typed(1), esm: m.esm, awaited: m.default }) }
}
