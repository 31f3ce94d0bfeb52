const settings = { schedule: '@daily' }
export default async () => new Response('x')
export { settings as 'config' }
