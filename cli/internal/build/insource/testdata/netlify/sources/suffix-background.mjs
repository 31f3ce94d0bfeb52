export default async () => new Response('x')
