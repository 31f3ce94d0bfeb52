export default { fetch: () => new Response('object without config') }
