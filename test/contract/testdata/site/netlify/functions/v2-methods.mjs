export default async (req) => new Response('method ' + req.method)
export const config = { path: '/methods', method: ['get', 'PUT', 'options'] }
