export default { fetch() { return new Response('x') }, config: { schedule: '@daily' } }
