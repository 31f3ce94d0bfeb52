import assert from 'node:assert/strict'
import test from 'node:test'
import { Cookies, serialize } from '../cookies.mjs'

test('reads what the request sent', () => {
  const cookies = new Cookies('a=1; b="two"; c=x=y; a=ignored; broken; =none').api()
  assert.equal(cookies.get('a'), '1')
  assert.equal(cookies.get('b'), 'two')
  assert.equal(cookies.get('c'), 'x=y')
  assert.equal(cookies.get('broken'), undefined)
})

test('collects changes in order', () => {
  const cookies = new Cookies('')
  const api = cookies.api()
  api.set('a', '1')
  api.set({ name: 'b', value: '2', maxAge: 60, sameSite: 'Lax', secure: true })
  api.delete({ name: 'c', domain: 'a.test', path: '/x' })
  assert.deepEqual(cookies.changes, [
    'a=1',
    'b=2; Secure; Max-Age=60; SameSite=Lax',
    'c=; Domain=a.test; Path=/x; Expires=Thu, 01 Jan 1970 00:00:00 GMT',
  ])
})

test('refuses what would break the header', () => {
  assert.throws(() => serialize({ name: 'a b', value: '' }), /not a valid cookie name/)
  assert.throws(() => serialize({ name: 'a', value: 'x\r\nSet-Cookie: b=1' }), /line break/)
})
