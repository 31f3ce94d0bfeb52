const { config } = { config: { schedule: '@daily' } }
export default async () => new Response('x')
export { config }
