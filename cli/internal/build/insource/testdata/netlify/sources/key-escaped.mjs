export default async () => new Response('x')
export const config = { "sched\u0075le": '@daily' }
