import assert from 'node:assert/strict'
import test from 'node:test'
import { Cookies, serialize } from '../cookies.cjs'

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

// A random text of characters that matter to cookies and headers.
function noise(random, most) {
  const alphabet = [...'abcdefghijklmnopqrstuvwxyz=;,"\\ \t\r\n\0\x7f%é🌙_-', '__Host-', '__Secure-']
  let text = ''
  for (let n = random(most); n > 0; n--) text += alphabet[random(alphabet.length)]
  return text
}

test('whatever is set is refused, or is one header that means just that', () => {
  let seed = 1
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below
  let taken = 0
  for (let i = 0; i < 20000; i++) {
    const cookie = { name: noise(random, 6), value: noise(random, 8), path: noise(random, 5), domain: noise(random, 5), sameSite: noise(random, 5), maxAge: random(100) - 50 }
    let text
    try {
      text = serialize(cookie)
    } catch (error) {
      assert.ok(error instanceof TypeError, `${JSON.stringify(cookie)}: ${error}`)
      continue
    }
    taken++
    assert.doesNotMatch(text, /[\x00-\x1f\x7f]/, JSON.stringify(cookie))
    const [pair, ...attributes] = text.split('; ')
    assert.equal(pair, `${cookie.name}=${cookie.value}`)
    for (const attribute of attributes) {
      assert.match(attribute, /^(Secure|Max-Age=-?\d+|Domain=[^;]*|SameSite=[^;]*|Path=[^;]*)$/)
    }
    assert.equal(new Cookies(pair).api().get(cookie.name), cookie.value)
  }
  assert.ok(taken > 100, `only ${taken} were taken`)
})

test('whatever the browser sends is read without an error', () => {
  let seed = 7
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below
  for (let i = 0; i < 20000; i++) {
    const header = noise(random, 30)
    const cookies = new Cookies(header).api()
    for (const name of ['a', 'b', '__proto__', 'constructor', noise(random, 3)]) {
      const value = cookies.get(name)
      assert.ok(value === undefined || (typeof value === 'string' && header.includes(value)), `${JSON.stringify(header)}: ${name} is ${value}`)
    }
  }
})
