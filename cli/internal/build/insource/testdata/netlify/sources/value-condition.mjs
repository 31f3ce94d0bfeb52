export default async () => new Response('x')
export const config = { background: process.env.CI ? false : true }
