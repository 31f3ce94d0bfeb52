const it = { fetch: async () => new Response('x'), config: { schedule: '@daily' } }
export default it
