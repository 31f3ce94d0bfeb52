import type { Config, Context, FunctionObject } from '@nightshift/functions'
import type { Config as NetlifyConfig } from '@netlify/functions'

export default async (request: Request, context: Context) => new Response(`${request.url} ${context.requestId}`)

export const once = async (_: Request, { requestId, attempt }: Context) => new Response(`${requestId} ${attempt.toFixed()}`)

export const annotated: Config = { schedule: '@daily', timezone: 'Europe/Berlin', retryDelays: 5 }
export const empty: Config = {}
export const path: Config = { path: '/a', timeout: 5 }
export const fits: Config = { path: '/a', preferStatic: true } satisfies NetlifyConfig
export const literal = { schedule: '@daily', overlap: 'skip' } as const satisfies Config

export const object = {
  fetch: async (request) => new Response(request.method),
  config: { background: true, timeout: 900 },
} satisfies FunctionObject
export const quiet = { fetch() {} } satisfies FunctionObject

// Netlify's own rules stay.
// @ts-expect-error: path and schedule
export const both: Config = { path: '/a', schedule: '@daily' }
// @ts-expect-error: excludedPath and schedule
export const excluded: Config = { excludedPath: '/a', schedule: '@daily' }
// @ts-expect-error: no slash in front
export const relative: Config = { path: 'a' }
// @ts-expect-error: two sizes
export const sizes: Config = { memory: '1gb', vcpu: 1 }
// @ts-expect-error: no such method
export const method: Config = { method: 'TRACE' }

// What a schedule gives a meaning needs one.
// @ts-expect-error: timezone without a schedule
export const zone: Config = { timezone: 'UTC' }
// @ts-expect-error: overlap without a schedule
export const overlap: Config = { path: '/a', overlap: 'skip' }
// @ts-expect-error: catchUp without a schedule
export const late: Config = { background: true, catchUp: 'all' }

// @ts-expect-error: misspelled
export const misspelled: Config = { shedule: '@daily' }
// @ts-expect-error: the key in another spelling
export const zoneSpelling: Config = { schedule: '@daily', timeZone: 'UTC' }
// @ts-expect-error: a number
export const timeout: Config = { timeout: '30' }
// @ts-expect-error: a number
export const retries: Config = { retries: true }
// @ts-expect-error: numbers
export const delays: Config = { retryDelays: ['60'] }
// @ts-expect-error: a number
export const concurrency: Config = { concurrency: 'many' }
// @ts-expect-error: not one of them
export const skip: Config = { schedule: '@daily', overlap: 'queue' }
// @ts-expect-error: not one of them
export const some: Config = { schedule: '@daily', catchUp: 'some' }
// @ts-expect-error: not one of them
export const rollback: Config = { onRollback: 'newest' }
// @ts-expect-error: a list
export const files: Config = { includedFiles: 'data/**' }
// @ts-expect-error: not one of them
export const bundler: Config = { nodeBundler: 'webpack' }
// @ts-expect-error: nothing that can be called
export const nothing = { config: {} } satisfies FunctionObject
