enum Limit { Short = 10, Next }
export default async () => new Response('x')
export const config = { timeout: Limit.Next }
