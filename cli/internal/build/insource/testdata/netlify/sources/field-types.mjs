export default async () => new Response('x')
export const config = { background: 'true', schedule: 5, timeout: '20', preferStatic: 'yes' }
