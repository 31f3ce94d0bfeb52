export type { Handler as handler } from '@netlify/functions'
export default async () => new Response('x')
