export default async () => new Response('x')
export const config = { includedFiles: ['data/**', '!data/secret/**'], externalNodeModules: ['sharp'] }
