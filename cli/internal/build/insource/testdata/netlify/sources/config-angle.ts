export default async () => new Response('x')
export const config = <object>{ schedule: '@daily' }
