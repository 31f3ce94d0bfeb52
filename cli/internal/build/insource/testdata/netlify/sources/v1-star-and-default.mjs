export * from './lib/v1.mjs'
export default async () => new Response('x')
export const config = { schedule: '@daily' }
