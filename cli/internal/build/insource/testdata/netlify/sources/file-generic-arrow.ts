const same = <T,>(x: T): T => x
export default async (): Promise<Response> => new Response(same<string>('x'))
export const config = { schedule: '@daily' }
