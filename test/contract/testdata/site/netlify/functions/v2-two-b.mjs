export default async () => new Response('b')
export const config = { path: ['/two/b', '/two-b'] }
