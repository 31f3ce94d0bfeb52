export default async () => new Response(((x: string): string => `tsx ${x}`)('v2'))
export const config = { path: '/tsx' }
