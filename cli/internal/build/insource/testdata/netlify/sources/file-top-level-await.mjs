const data = await Promise.resolve('x')
export default async () => new Response(data)
export const config = { schedule: '@daily' }
