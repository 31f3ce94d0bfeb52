import type { Config } from '@netlify/functions'
export default async () => new Response('x')
export const config = { schedule: '@daily' } as Config
