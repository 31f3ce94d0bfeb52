export default async () => new Response('x')
export const config = { get schedule() { return '@daily' } }
