'use strict'
// The second argument of a fetch-style function, and the global Netlify.

const { AsyncLocalStorage } = require('node:async_hooks')
const { Cookies } = require('./cookies.cjs')
const { Buffer, Error, Promise, TypeError, URL, parse, process } = require('./intrinsics.cjs')
const { paramsOf } = require('./params.cjs')

// Feature flags are Netlify's own; no function of ours has any.
const flags = new (class Flags {
  get() {
    return undefined
  }
  get evaluations() {
    return new Set()
  }
})()

// contextOf builds the context of one invocation. env are the variables that
// the process was assigned. Promises given to waitUntil are added to pending.
function contextOf(event, request, { id, attempt }, env, pending) {
  const headers = event.headers ?? {}
  const url = new URL(request.url)
  const cookies = new Cookies(headers.cookie ?? '')
  const context = {
    account: { id: headers['x-nf-account-id'] ?? '' },
    attempt, // ours: together with requestId it names this try, from 1
    cookies: cookies.api(),
    deploy: {
      branch: headers['x-nf-branch'] ?? env.BRANCH ?? '',
      context: headers['x-nf-deploy-context'] ?? env.CONTEXT ?? '',
      id: headers['x-nf-deploy-id'] || (env.DEPLOY_ID ?? ''),
      published: headers['x-nf-deploy-published'] === '1',
    },
    flags,
    geo: geoOf(headers['x-nf-geo']),
    ip: headers['x-nf-client-connection-ip'] ?? '',
    json: (value) => Response.json(value),
    log: globalThis.console?.log,
    next: () => {
      throw new Error('`context.next` is not implemented for serverless functions')
    },
    params: event.route ? paramsOf(event.route, url.pathname) : {},
    path: event.route,
    requestId: headers['x-nf-request-id'] || id,
    rewrite: (target) => fetch(rewritten(target, request.url)),
    server: { region: env.AWS_REGION ?? '' },
    site: { id: headers['x-nf-site-id'] || env.SITE_ID, name: env.SITE_NAME, url: env.URL },
    url,
    waitUntil: (...promises) => {
      if (promises.length === 0) throw new TypeError('waitUntil: At least 1 argument required, but only 0 passed')
      pending.push(promises[0])
      // It is awaited only after the response; a rejection before that is not unhandled.
      Promise.resolve(promises[0]).catch(() => {})
    },
  }
  return { context, setCookies: cookies.changes }
}

// rewritten is where context.rewrite leads: a path keeps the request's host and
// query, anything else must be a whole URL.
function rewritten(target, from) {
  if (typeof target !== 'string' || !target.startsWith('/')) return new URL(target)
  const url = new URL(from)
  url.pathname = target
  return url
}

function geoOf(encoded) {
  if (!encoded) return {}
  try {
    return parse(Buffer.from(encoded, 'base64').toString('utf8'))
  } catch {
    return {}
  }
}

// The place where the package @netlify/functions looks for the context.
const STORE = Symbol.for('@netlify/functions/request-context-store')

// install sets the globals. current returns the running invocation's context.
function install(current) {
  // A process runs one invocation at a time, so none has to be told from
  // another by its asynchronous origin, which costs time with every promise.
  // Netlify's own bootstrap, inside of its bundles, does so all the same.
  globalThis[STORE] = new (class extends AsyncLocalStorage {
    getStore() {
      const context = current()
      return context ? { context } : super.getStore()
    }
  })()
  globalThis.Netlify = {
    get context() {
      return current() ?? null
    },
    env: {
      delete: (name) => {
        delete process.env[name]
      },
      get: (name) => process.env[name],
      has: (name) => process.env[name] !== undefined,
      set: (name, value) => {
        process.env[name] = value
      },
      toObject: () => ({ ...process.env }),
    },
  }
}

module.exports = { contextOf, install }
