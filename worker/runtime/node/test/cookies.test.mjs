import assert from 'node:assert/strict'
import test from 'node:test'
import { Cookies, serialize } from '../cookies.mjs'

test('reads what the request sent', () => {
  const cookies = new Cookies('a=1; b="two"; c=x=y; a=last; d=%20; bare; e=; =none').api()
  assert.equal(cookies.get('a'), 'last')
  assert.equal(cookies.get('b'), '"two"')
  assert.equal(cookies.get('c'), 'x=y')
  assert.equal(cookies.get('d'), '%20')
  assert.equal(cookies.get('bare'), '')
  assert.equal(cookies.get('e'), '')
  assert.equal(cookies.get('other'), undefined)
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
  for (const value of ['x\r\nSet-Cookie: b=1', 'a b', 'a;b', 'a,b', '"a"', 'a\\b', 'ü']) {
    assert.throws(() => serialize({ name: 'a', value }), /characters that a cookie cannot hold/)
  }
  assert.throws(() => serialize({ name: 'a', value: '', path: '/; Domain=x' }), /attribute of the cookie a/)
  assert.throws(() => new Cookies('').api().set('a', 5), /must provide the cookie value as a string/)
})

test('gives prefixed names what browsers want of them', () => {
  assert.equal(serialize({ name: '__Secure-a', value: '1' }), '__Secure-a=1; Secure')
  assert.equal(serialize({ name: '__Host-a', value: '1', domain: 'x.test', path: '/p' }), '__Host-a=1; Secure; Path=/')
})
