const base = { schedule: '@daily' }
export default async () => new Response('x')
export const config = { ...base, timeout: 20 }
