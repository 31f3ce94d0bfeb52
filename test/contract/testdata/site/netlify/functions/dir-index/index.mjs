export default async () => new Response('index.mjs')
