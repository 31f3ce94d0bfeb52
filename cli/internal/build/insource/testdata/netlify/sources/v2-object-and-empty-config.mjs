export default { fetch: async () => new Response('x'), config: { path: '/inline' } }
export const config = {}
