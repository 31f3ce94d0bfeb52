import data from './lib/data.json' with { type: 'json' }
export default async () => new Response(data.text)
export const config = { schedule: '@daily' }
