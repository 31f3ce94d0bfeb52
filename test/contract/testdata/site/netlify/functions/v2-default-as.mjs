const main = async () => new Response('default as')
const settings = { path: '/default-as' }
export { main as default, settings as config }
