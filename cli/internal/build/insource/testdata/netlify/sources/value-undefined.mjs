export default async () => new Response('x')
export const config = { schedule: undefined, background: void 0 }
