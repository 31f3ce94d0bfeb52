// context.cookies: reads the request's cookies and collects changes.

export class Cookies {
  changes = [] // Set-Cookie values
  #request

  constructor(header) {
    this.#request = parse(header)
  }

  api() {
    return {
      get: (name) => this.#request.get(name),
      set: (cookie, value) => {
        const options = typeof cookie === 'string' ? { name: cookie, value } : cookie
        this.changes.push(serialize(options))
      },
      delete: (cookie) => {
        const { name, domain, path = '/' } = typeof cookie === 'string' ? { name: cookie } : cookie
        this.changes.push(serialize({ name, value: '', domain, path, expires: 0 }))
      },
    }
  }
}

function parse(header) {
  const cookies = new Map()
  for (const part of header.split(';')) {
    const equals = part.indexOf('=')
    if (equals < 1) continue
    const name = part.slice(0, equals).trim()
    const value = part.slice(equals + 1).trim()
    if (!cookies.has(name)) cookies.set(name, value.replace(/^"(.*)"$/, '$1'))
  }
  return cookies
}

export function serialize({ name, value, expires, maxAge, domain, path, secure, httpOnly, sameSite, partitioned }) {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name ?? '')) throw new TypeError(`${JSON.stringify(name)} is not a valid cookie name`)
  let text = `${name}=${value ?? ''}`
  if (secure) text += '; Secure'
  if (httpOnly) text += '; HttpOnly'
  if (partitioned) text += '; Partitioned'
  if (maxAge !== undefined) text += `; Max-Age=${Math.trunc(maxAge)}`
  if (domain) text += `; Domain=${domain}`
  if (sameSite) text += `; SameSite=${sameSite}`
  if (path) text += `; Path=${path}`
  if (expires !== undefined) text += `; Expires=${new Date(expires).toUTCString()}`
  if (/[\r\n\0]/.test(text)) throw new TypeError(`the cookie ${name} has a line break in it`)
  return text
}
