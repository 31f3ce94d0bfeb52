exports.default = { fetch: async () => new Response('x'), config: { schedule: '@daily' } }
