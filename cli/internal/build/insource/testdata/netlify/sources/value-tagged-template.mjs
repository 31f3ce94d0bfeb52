export default async () => new Response('x')
export const config = { schedule: String.raw`@daily` }
