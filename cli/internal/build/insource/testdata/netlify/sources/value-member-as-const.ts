const CRONS = { daily: '@daily' } as const
export default async () => new Response('x')
export const config = { schedule: CRONS.daily }
