export default { fetch: async () => new Response('x'), config: { background: true } } as const
