export default { run: async () => new Response('x') }
