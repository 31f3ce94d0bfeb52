import type { NetlifyFunction } from '@netlify/functions'
export default {
  fetch: async () => new Response('x'),
  config: { path: '/satisfied' },
} satisfies NetlifyFunction
