exports.default = async () => new Response('x')
exports.config = { schedule: '@daily' }
