export default async () => new Response('own path below the default prefix')
export const config = { path: '/.netlify/functions/other-name' }
