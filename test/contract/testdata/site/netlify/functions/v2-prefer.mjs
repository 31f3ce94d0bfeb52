export default async (req) => new Response('function at ' + new URL(req.url).pathname)
export const config = { path: ['/static.txt', '/prefer-none', '/sub', '/deep/*'], preferStatic: true }
