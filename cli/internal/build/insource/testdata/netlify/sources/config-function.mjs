export default async () => new Response('x')
export function config() { return { schedule: '@daily' } }
