export default { fetch: async () => new Response('x'), config: { schedule: '@daily' } satisfies object }
