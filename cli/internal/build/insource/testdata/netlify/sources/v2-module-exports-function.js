module.exports = async () => new Response('x')
