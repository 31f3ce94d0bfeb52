'use strict'
// What both routers need of the site's own copy of Next.

const { createRequire } = require('node:module')
const path = require('node:path')

// open prepares the process as `next start` would, and returns how to require
// things of the site's Next.
exports.open = function open(site, route) {
  // Next 13 and 14 expect their server to have made it global.
  globalThis.AsyncLocalStorage ??= require('node:async_hooks').AsyncLocalStorage
  const ofSite = createRequire(path.join(site, 'package.json'))
  const ofNext = createRequire(ofSite.resolve('next/package.json'))
  // .env files; what the process has already wins.
  ofNext('@next/env').loadEnvConfig(site, false, { info() {}, error: console.error })
  return ofSite
}

// compiled loads what `next build` made of a file of the site. A module with a
// top-level await is a promise.
exports.compiled = (site, route, file) => require(path.join(site, route.distDir, 'server', file))

// instrument runs the site's instrumentation file, if it has one.
exports.instrument = async function instrument(site, route) {
  if (!route.instrumentation) return undefined
  const module = await exports.compiled(site, route, 'instrumentation.js')
  const hooks = module.register || module.onRequestError ? module : (module.default ?? module)
  await hooks.register?.()
  return hooks
}

// matcher returns a function that takes the path parameters out of a path, or
// says false if it does not match: paths of Next are case sensitive.
exports.matcher = function matcher(ofSite, page) {
  const { getRouteRegex } = ofSite('next/dist/shared/lib/router/utils/route-regex')
  const { getRouteMatcher } = ofSite('next/dist/shared/lib/router/utils/route-matcher')
  const match = getRouteMatcher(getRouteRegex(page))
  return (pathname) => match(pathname.length > 1 ? pathname.replace(/\/$/, '') : pathname)
}

// strip takes the base path off a URL's path, as Next's own server does.
exports.strip = (pathname, basePath) => (basePath && pathname.startsWith(basePath) ? pathname.slice(basePath.length) || '/' : pathname)

exports.refuse = function refuse(res, status, text) {
  res.statusCode = status
  res.setHeader('content-type', 'text/plain; charset=utf-8')
  res.end(text)
}
