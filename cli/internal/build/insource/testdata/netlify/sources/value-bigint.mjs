export default async () => new Response('x')
export const config = { timeout: 20n }
