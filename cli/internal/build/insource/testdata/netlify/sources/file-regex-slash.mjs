const a = 4, g = 2
const x = a / 2 / g, y = [/[/\]]+/g, `${`a${/}/}`}`]
export default async () => new Response(String(x) + y)
export const config = { schedule: '@daily' }
