const run = ((fn) => fn)(async () => new Response('x'))
const config = { schedule: '@daily' }
export { run as default, config }
