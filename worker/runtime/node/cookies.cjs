'use strict'
// context.cookies: reads the request's cookies and collects changes.

const { TypeError, stringify } = require('./intrinsics.cjs')

class Cookies {
  changes = [] // Set-Cookie values
  #request

  constructor(header) {
    this.#request = parse(header)
  }

  api() {
    return {
      get: (name) => this.#request.get(name),
      set: (cookie, value) => {
        if (typeof cookie === 'string') {
          if (typeof value !== 'string') throw new TypeError("You must provide the cookie value as a string to 'cookies.set'")
          cookie = { name: cookie, value }
        }
        this.changes.push(serialize(cookie))
      },
      delete: (cookie) => {
        const { name, domain, path = '/' } = typeof cookie === 'string' ? { name: cookie } : cookie
        this.changes.push(serialize({ name, value: '', domain, path, expires: 0 }))
      },
    }
  }
}

// parse takes values as they stand, quotes and escapes included. Of two cookies
// with one name the last one counts.
function parse(header) {
  const cookies = new Map()
  for (const part of header.split(';')) {
    const equals = part.indexOf('=')
    const name = (equals < 0 ? part : part.slice(0, equals)).trim()
    if (name !== '') cookies.set(name, equals < 0 ? '' : part.slice(equals + 1).trim())
  }
  return cookies
}

// What may stand in a name, a value and an attribute (RFC 6265, 4.1.1).
const NAME = /^[\w!#$%&'*+.^`|~-]+$/
const VALUE = /^[!#-+\--:<-[\]-~]*$/
const ATTRIBUTE = /^[^;\x00-\x1f\x7f]*$/

function serialize({ name, value = '', expires, maxAge, domain, path, secure, httpOnly, sameSite, partitioned }) {
  if (!NAME.test(name ?? '')) throw new TypeError(`${stringify(name)} is not a valid cookie name`)
  if (!VALUE.test(value)) {
    throw new TypeError(`the value of the cookie ${name} has characters that a cookie cannot hold; encode it, for example with encodeURIComponent`)
  }
  if (!ATTRIBUTE.test(`${domain} ${path} ${sameSite}`)) throw new TypeError(`an attribute of the cookie ${name} has a semicolon or a control character in it`)
  // Browsers refuse these names without what they stand for.
  if (/^__(Secure|Host)-/.test(name)) secure = true
  if (name.startsWith('__Host-')) [domain, path] = [undefined, '/']
  let text = `${name}=${value}`
  if (secure) text += '; Secure'
  if (httpOnly) text += '; HttpOnly'
  if (partitioned) text += '; Partitioned'
  if (maxAge !== undefined) text += `; Max-Age=${Math.trunc(maxAge)}`
  if (domain) text += `; Domain=${domain}`
  if (sameSite) text += `; SameSite=${sameSite}`
  if (path) text += `; Path=${path}`
  if (expires !== undefined) text += `; Expires=${new Date(expires).toUTCString()}`
  return text
}

module.exports = { Cookies, serialize }
