export default async () => new Response('x')
export const config = { background: !0, preferStatic: !1 }
