export { run as default }
async function run() { return new Response('x') }
