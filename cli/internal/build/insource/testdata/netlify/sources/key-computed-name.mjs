const key = 'schedule'
export default async () => new Response('x')
export const config = { [key]: '@daily' }
