export default async () => new Response('x')
export const config = { region: 'FRA' }
