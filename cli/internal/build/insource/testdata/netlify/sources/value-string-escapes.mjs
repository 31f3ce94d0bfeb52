export default async () => new Response('x')
export const config = { name: 'caf\u00e9 \x41 \u{1F600} \'q\'', path: "/a\u002fb" }
