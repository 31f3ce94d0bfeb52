export default async () => new Response('x')
export let config = { schedule: '@daily' }
