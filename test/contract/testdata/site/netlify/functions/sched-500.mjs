export default async () => new Response('broken', { status: 500 })
export const config = { schedule: '@hourly' }
