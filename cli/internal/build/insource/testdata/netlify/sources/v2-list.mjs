const run = async () => new Response('x')
export { run as default }
export const config = { schedule: '@daily' }
