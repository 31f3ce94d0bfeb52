export default async () => new Response('x')
export const config = { path: ['/items/:id', '/items/:id', '/all/*'], excludedPath: '/items/no', method: ['get', 'POST'], preferStatic: true }
