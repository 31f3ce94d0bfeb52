// The second argument of a fetch-style function, and the global Netlify.

import { Cookies } from './cookies.mjs'
import { paramsOf } from './params.mjs'

// contextOf builds the context of one invocation. Promises given to waitUntil
// are added to pending.
export function contextOf(event, request, id, pending) {
  const header = (name) => request.headers.get(name) ?? ''
  const url = new URL(request.url)
  const cookies = new Cookies(request.headers.get('cookie') ?? '')
  const env = process.env
  const context = {
    account: { id: header('x-nf-account-id') },
    cookies: cookies.api(),
    deploy: {
      context: header('x-nf-deploy-context') || env.CONTEXT || 'production',
      id: header('x-nf-deploy-id') || env.DEPLOY_ID || '',
      published: header('x-nf-deploy-published') === '1',
    },
    flags: {},
    geo: geoOf(header('x-nf-geo')),
    ip: header('x-nf-client-connection-ip'),
    json: (value, init) => Response.json(value, init),
    log: (...values) => console.log(...values),
    next: async () => {
      throw new Error('context.next() exists in edge functions only')
    },
    params: event.route ? paramsOf(event.route, url.pathname) : {},
    path: event.route,
    requestId: header('x-nf-request-id') || id,
    rewrite: (target) => fetch(new URL(target, url)),
    server: { region: env.AWS_REGION ?? '' },
    site: { id: header('x-nf-site-id') || env.SITE_ID, name: env.SITE_NAME, url: env.URL },
    url,
    waitUntil: (promise) => {
      pending.push(promise)
      // It is awaited only after the response; a rejection before that is not unhandled.
      Promise.resolve(promise).catch(() => {})
    },
  }
  return { context, setCookies: cookies.changes }
}

function geoOf(encoded) {
  if (!encoded) return {}
  try {
    return JSON.parse(Buffer.from(encoded, 'base64').toString('utf8'))
  } catch {
    return {}
  }
}

// install sets the global. current returns the running invocation's context.
export function install(current) {
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
