import data from './lib/data.json' assert { type: 'json' }
export default async () => new Response(data.text)
export const config = { schedule: '@daily' }
