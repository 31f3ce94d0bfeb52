export default async () => new Response('x')
export const config = process.env.CONTEXT === 'production' ? { schedule: '@daily' } : {}
