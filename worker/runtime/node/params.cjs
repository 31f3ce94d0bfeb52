'use strict'
// Path parameters, from the URL pattern that the request matched.
//
// The request has been matched already; only the groups are wanted. Values are
// neither decoded nor lower-cased, and one trailing slash does not count.

const cache = new Map()

function paramsOf(pattern, pathname) {
  let compiled = cache.get(pattern)
  if (!compiled) cache.set(pattern, (compiled = compile(pattern)))
  const match = compiled.exec(pathname.length > 1 ? pathname.replace(/\/$/, '') : pathname)
  const params = {}
  for (const [group, value] of Object.entries(match?.groups ?? {})) {
    if (value !== undefined) params[group.replace(/^_(?=\d+$)/, '')] = value
  }
  return params
}

// compile turns the pathname part of a URLPattern into an expression. Groups
// without a name are called by their number.
function compile(pattern) {
  let source = ''
  let unnamed = 0
  let i = 0

  const group = (name, body, before) => {
    const modifier = '?+*'.includes(pattern[i]) && i < pattern.length ? pattern[i++] : ''
    const slash = modifier && before.endsWith('/') ? '/' : ''
    const head = slash ? before.slice(0, -1) : before
    const prefix = slash && '\\/'
    switch (modifier) {
      case '?':
        return `${head}(?:${prefix}(?<${name}>${body}))?`
      case '+':
        return `${head}${prefix}(?<${name}>${body}(?:${prefix}${body})*)`
      case '*':
        return `${head}(?:${prefix}(?<${name}>${body}(?:${prefix}${body})*))?`
      default:
        return `${head}(?<${name}>${body})`
    }
  }
  const expression = () => {
    let depth = 0
    const start = i
    do {
      if (pattern[i] === '\\') i++
      else if (pattern[i] === '(') depth++
      else if (pattern[i] === ')') depth--
      i++
    } while (depth > 0 && i < pattern.length)
    return pattern.slice(start + 1, i - 1)
  }

  while (i < pattern.length) {
    const c = pattern[i]
    const name = c === ':' ? /^[\p{ID_Start}_$][\p{ID_Continue}$\u200c\u200d]*/u.exec(pattern.slice(i + 1))?.[0] : undefined
    if (name) {
      i += 1 + name.length
      source = group(name, pattern[i] === '(' ? expression() : '[^\\/]+?', source)
    } else if (c === '(') {
      source = group(`_${unnamed++}`, expression(), source)
    } else if (c === '*') {
      i++
      source = group(`_${unnamed++}`, '.*', source)
    } else if (c === '{') {
      source += '(?:'
      i++
    } else if (c === '}') {
      i++
      source += ')' + ('?+*'.includes(pattern[i]) && i < pattern.length ? pattern[i++] : '')
    } else {
      if (c === '\\') i++
      const literal = i < pattern.length ? String.fromCodePoint(pattern.codePointAt(i)) : ''
      // In a URL's path, other letters stand percent-encoded.
      source += (/[^\x21-\x7e]/.test(literal) ? encodeURI(literal) : literal).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      i += literal.length || 1
    }
  }
  return new RegExp(`^${source}/?$`)
}

module.exports = { paramsOf, compile }
