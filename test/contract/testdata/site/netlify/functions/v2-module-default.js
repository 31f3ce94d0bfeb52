module.exports.default = async () => new Response('module.exports.default')
