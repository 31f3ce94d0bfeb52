export default async () => new Response('x')
export var config = { schedule: '@daily' }
