const it = { fetch: async () => new Response('x'), config: { schedule: '@daily' } } satisfies object
export default it
