export default async () => { using x = { [Symbol.dispose]() {} }; return new Response('x') }
export const config = { schedule: '@daily' }
