export default async () => { await using x = { async [Symbol.asyncDispose]() {} }; return new Response('x') }
export const config = { schedule: '@daily' }
