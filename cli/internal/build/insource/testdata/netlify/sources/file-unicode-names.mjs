const größe = 1, 変数 = 2, \u0061bc = 3
export default async () => new Response(`${größe}${変数}${abc}`)
export const config = { schedule: '@daily' }
