export default async () => new Response('x')
export const config = Object.freeze({ schedule: '@daily' })
