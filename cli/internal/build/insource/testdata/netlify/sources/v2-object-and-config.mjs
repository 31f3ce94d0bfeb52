export default { fetch: async () => new Response('x'), config: { schedule: '@daily' } }
export const config = { path: '/named-wins' }
