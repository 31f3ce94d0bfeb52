module.exports.default = async () => new Response('x')
module.exports.config = { path: '/cjs' }
