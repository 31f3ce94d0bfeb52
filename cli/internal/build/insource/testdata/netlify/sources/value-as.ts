export default async () => new Response('x')
export const config = { schedule: '@daily' as string, path: undefined as any }
