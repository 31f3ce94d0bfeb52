const run = async () => new Response('x')
export default run
export const config = { background: true }
