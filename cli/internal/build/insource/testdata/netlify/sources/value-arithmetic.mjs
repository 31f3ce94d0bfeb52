export default async () => new Response('x')
export const config = { timeout: 5 * 60 }
