export default async () => new Response('x')
export const config = { path: 5 }
