let config = { schedule: '@daily' }
config = { path: '/later' }
export default async () => new Response('x')
export { config }
