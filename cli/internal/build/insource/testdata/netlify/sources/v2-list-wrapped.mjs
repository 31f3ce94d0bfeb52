const run = wrap(async () => new Response('x'))
function wrap(fn) { return fn }
export { run as default }
export const config = { schedule: '@daily' }
