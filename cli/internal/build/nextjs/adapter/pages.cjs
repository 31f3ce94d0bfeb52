'use strict'
// Routes of pages/api.

const querystring = require('node:querystring')
const { open, compiled, instrument, matcher, strip, refuse } = require('./next.cjs')

exports.load = async function load(site, route) {
  const ofSite = open(site, route)
  const { apiResolver } = ofSite('next/dist/server/api-utils/node/api-resolver')
  const match = matcher(ofSite, route.page)
  const hooks = await instrument(site, route)
  const module = await compiled(site, route, route.file)
  const userland = await module.default
  const userHandler = userland?.default ?? userland
  if (typeof userHandler !== 'function') throw new TypeError(`${route.source} must export a function as its default`)
  const recorded = route.kind !== 'sync' // a throw is a failed attempt instead of a response

  return async function run(req, res, { url }) {
    const pathname = strip(url.pathname, route.basePath)
    req.url = pathname + url.search
    let params
    try {
      params = match(pathname)
    } catch {
      return refuse(res, 400, 'Bad Request') // an escape sequence that is none
    }
    if (!params) return refuse(res, 404, 'Not Found')
    let piped = false
    res.once('pipe', () => (piped = true))
    const handler = async (req, res) => {
      res.revalidate = async () => {
        throw new Error('res.revalidate() is not supported on Nightshift: pages are served elsewhere, and so is their cache')
      }
      const returned = userHandler(req, res)
      await returned
      // Nobody reads the answer of a run that is recorded, so many do not give one.
      if (recorded && typeof returned?.then === 'function' && !piped && !res.headersSent) res.end()
    }
    await apiResolver(
      req,
      res,
      { ...querystring.parse(url.search.slice(1)), ...params },
      { default: handler, config: module.config },
      route.preview,
      recorded,
      false, // not `next dev`
      route.page,
      hooks?.onRequestError && ((...args) => hooks.onRequestError(...args)),
    )
  }
}
