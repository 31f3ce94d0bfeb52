export default async () => new Response('default in js')
