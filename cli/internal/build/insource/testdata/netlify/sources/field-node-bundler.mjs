export default async () => new Response('x')
export const config = { nodeBundler: 'webpack', nodeVersion: '20' }
