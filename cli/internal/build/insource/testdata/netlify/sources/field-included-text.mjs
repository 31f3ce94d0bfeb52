export default async () => new Response('x')
export const config = { includedFiles: 'data/**', externalNodeModules: 'sharp' }
