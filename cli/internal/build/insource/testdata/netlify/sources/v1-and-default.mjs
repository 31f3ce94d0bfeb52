export default async () => new Response('x')
export const handler = async () => ({ statusCode: 200 })
