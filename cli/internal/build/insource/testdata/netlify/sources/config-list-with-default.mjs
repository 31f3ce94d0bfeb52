const run = async () => new Response('x')
const config = { schedule: '@daily' }
export { run as default, config }
