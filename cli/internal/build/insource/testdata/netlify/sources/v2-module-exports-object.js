module.exports = { default: async () => new Response('x'), config: { schedule: '@daily' } }
