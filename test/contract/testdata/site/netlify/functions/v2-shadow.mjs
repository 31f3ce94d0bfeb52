export default async () => new Response('function wins')
export const config = { path: '/shadow.txt' }
