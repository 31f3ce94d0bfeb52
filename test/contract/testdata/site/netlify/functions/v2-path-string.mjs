export default async () => new Response('one path')
export const config = { path: '/path-string' }
