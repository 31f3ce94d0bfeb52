module.exports = async () => new Response('x')
module.exports.config = { schedule: '@daily' }
module.exports.default = module.exports
