const config = { schedule: '@daily' }
export default { fetch: async () => new Response('x'), config }
