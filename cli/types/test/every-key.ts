// Every setting, once. A Go test compares the keys with those that the builder
// reads; the compiler compares them with the types.
import type { Config } from '@nightshift/functions'

export const scheduled = {
  background: true,
  schedule: '0 6 * * *',
  timezone: 'Europe/Berlin',
  catchUp: 'all',
  overlap: 'skip',
  timeout: 600,
  retries: 0,
  retryDelays: [1, 2.5],
  concurrency: 1,
  onRollback: 'latest',
} satisfies Config

export const routed = {
  path: ['/items/:id', '/items'],
  excludedPath: '/items/none',
  method: ['GET', 'POST'],
  preferStatic: true,
  rateLimit: { windowLimit: 10, windowSize: 60, aggregateBy: ['ip', 'domain'] },
  region: 'fra',
  memory: '2gb',
  generator: 'x',
  name: 'Items',
  includedFiles: ['../../data/**', '!../../data/secret/**'],
  externalNodeModules: ['sharp'],
  ignoredNodeModules: ['fsevents'],
  nodeBundler: 'esbuild',
} satisfies Config

export const sized = { vcpu: 0.5 } satisfies Config
