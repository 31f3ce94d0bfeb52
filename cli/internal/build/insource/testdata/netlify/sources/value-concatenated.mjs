export default async () => new Response('x')
export const config = { schedule: '0 6' + ' * * *' }
