export async function handler(event) { return { statusCode: 200 } }
export default async () => new Response('x')
