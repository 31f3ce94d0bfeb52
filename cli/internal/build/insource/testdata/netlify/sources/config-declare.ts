export default async () => new Response('x')
export declare const config: { schedule: string }
