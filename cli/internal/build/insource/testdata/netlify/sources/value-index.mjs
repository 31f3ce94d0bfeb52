const crons = ['@hourly', '@daily']
export default async () => new Response('x')
export const config = { schedule: crons[1] }
