'use strict'
// Route handlers of the app directory.

const path = require('node:path')
const { open, compiled, instrument, matcher, strip, refuse } = require('./next.cjs')

// Where Next keeps what its server knows about a request.
const REQUEST_META = Symbol.for('NextInternalRequestMeta')

exports.load = async function load(site, route) {
  const ofSite = open(site, route)
  const match = matcher(ofSite, route.page)
  const module = await compiled(site, route, route.file)
  const recorded = route.kind !== 'sync' // a throw is a failed attempt instead of a response
  const handle = module.handler ? whole(site, route, module, recorded) : await parts(site, route, ofSite, module, recorded)

  return async function run(req, res, { url }) {
    const pathname = strip(url.pathname, route.basePath)
    let params
    try {
      params = match(pathname)
    } catch {
      return refuse(res, 400, 'Bad Request')
    }
    if (!params) return refuse(res, 404, 'Not Found')
    const pending = [] // promises given to after() and the like
    const closed = new Promise((resolve) => res.on('close', resolve))
    await handle(req, res, { url, pathname, params, waitUntil: (promise) => pending.push(promise) })
    await closed
    for (let i = 0; i < pending.length; i++) await pending[i]
  }
}

// whole calls a handler as Next 15.4 and later compile it: it does all that the
// server of Next did for it before.
function whole(site, route, module, recorded) {
  let thrown
  const { routeModule } = module
  const report = routeModule.onRequestError.bind(routeModule)
  // The handler answers 500 to what its code throws, and tells nobody else.
  routeModule.onRequestError = async (req, error, ...rest) => {
    thrown = { error }
    await report(req, error, ...rest)
  }
  return async (req, res, { url, params, waitUntil }) => {
    thrown = undefined
    req[REQUEST_META] = {
      params,
      initURL: url.href,
      initProtocol: url.protocol.slice(0, -1),
      relativeProjectDir: '.', // of the working directory
      distDir: path.join(site, route.distDir),
    }
    await module.handler(req, res, { waitUntil })
    if (recorded && thrown) throw thrown.error
  }
}

// parts does what the server of Next 13, 14 and early 15 does around a route module.
async function parts(site, route, ofSite, module, recorded) {
  const { NodeNextRequest, NodeNextResponse } = ofSite('next/dist/server/base-http/node')
  const { NextRequestAdapter, signalFromNodeResponse } = ofSite('next/dist/server/web/spec-extension/adapters/next-request')
  const { sendResponse } = ofSite('next/dist/server/send-response')
  const { IncrementalCache } = ofSite('next/dist/server/lib/incremental-cache')
  const { nodeFs } = ofSite('next/dist/server/lib/node-fs-methods')
  await instrument(site, route)
  const prerenderManifest = { version: 4, routes: {}, dynamicRoutes: {}, notFoundRoutes: [], preview: route.preview }

  return async (req, res, { url, pathname, params, waitUntil }) => {
    const nodeRequest = new NodeNextRequest(req)
    // An absolute URL is taken as it is.
    nodeRequest.url = url.origin + pathname + url.search
    const request = NextRequestAdapter.fromNodeNextRequest(nodeRequest, signalFromNodeResponse(res))
    const incrementalCache = new IncrementalCache({
      fs: nodeFs,
      dev: false,
      appDir: true,
      pagesDir: true,
      fetchCache: true,
      minimalMode: false,
      flushToDisk: false,
      requestHeaders: req.headers,
      requestProtocol: url.protocol.slice(0, -1),
      serverDistDir: path.join(site, route.distDir, 'server'),
      getPrerenderManifest: () => prerenderManifest,
      experimental: {},
    })
    const context = {
      params,
      prerenderManifest,
      previewProps: route.preview,
      renderOpts: {
        experimental: { ppr: false, after: true, dynamicIO: false, authInterrupts: false },
        originalPathname: module.originalPathname,
        supportsDynamicHTML: true, // 13
        supportsDynamicResponse: true,
        incrementalCache,
        isRevalidate: false,
        waitUntil,
        builtInWaitUntil: waitUntil,
        onClose: (callback) => res.on('close', callback),
      },
      sharedContext: { buildId: route.buildId },
    }
    let response
    try {
      response = await module.routeModule.handle(request, context)
    } catch (error) {
      if (recorded) throw error
      console.error(error)
      return refuse(res, 500, '')
    }
    await sendResponse(new NodeNextRequest(req), new NodeNextResponse(res), response, context.renderOpts.waitUntil === waitUntil ? undefined : context.renderOpts.waitUntil)
  }
}
