const config = { schedule: '@daily' } satisfies object
export default async () => new Response('x')
export { config }
