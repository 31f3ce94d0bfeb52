exports.default = async () => new Response('cjs')
exports.config = { path: '/cjs' }
