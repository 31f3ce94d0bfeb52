export default async () => new Response('a')
export const config = { path: '/two/:x' }
