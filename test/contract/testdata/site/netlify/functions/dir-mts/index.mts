export default async (): Promise<Response> => new Response('index.mts')
export const config = { path: '/dir-mts' }
