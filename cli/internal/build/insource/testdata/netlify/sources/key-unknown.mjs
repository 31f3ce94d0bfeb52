export default async () => new Response('x')
export const config = { colour: 'red', shedule: '@daily' }
