import type { ApiRouteConfig } from '@nightshift/functions'

export const background = { type: 'experimental-background', timeout: 300, retries: 1, retryDelays: [5] } satisfies ApiRouteConfig
export const scheduled = {
  type: 'experimental-scheduled',
  schedule: '@hourly',
  timezone: 'Europe/Berlin',
  overlap: 'skip',
  catchUp: 'none',
  concurrency: 1,
} satisfies ApiRouteConfig
export const plain: ApiRouteConfig = { api: { bodyParser: { sizeLimit: '4mb' }, responseLimit: false }, maxDuration: 5 }
export const edge: ApiRouteConfig = { runtime: 'edge' }

// The messages are those of Netlify's Next.js runtime.
// @ts-expect-error: schedule is required when type is "experimental-scheduled"
export const without = { type: 'experimental-scheduled' } satisfies ApiRouteConfig
// @ts-expect-error: schedule is not allowed unless type is "experimental-scheduled"
export const loose = { schedule: '@daily' } satisfies ApiRouteConfig
// @ts-expect-error: schedule is not allowed unless type is "experimental-scheduled"
export const mixed = { type: 'experimental-background', schedule: '@daily' } satisfies ApiRouteConfig
// @ts-expect-error: edge runtime is not supported for background functions
export const edgeBackground = { type: 'experimental-background', runtime: 'edge' } satisfies ApiRouteConfig
// @ts-expect-error: edge runtime is not supported for scheduled functions
export const edgeScheduled = { type: 'experimental-scheduled', schedule: '@daily', runtime: 'edge' } satisfies ApiRouteConfig
// @ts-expect-error: type is not supported
export const type = { type: 'background' } satisfies ApiRouteConfig
// @ts-expect-error: misspelled
export const misspelled = { type: 'experimental-background', retry: 1 } satisfies ApiRouteConfig
// @ts-expect-error: a route has its path from its file
export const path = { path: '/a' } satisfies ApiRouteConfig
