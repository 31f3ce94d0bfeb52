export default async (req) => { try { req.headers.set('x-a', '1'); return new Response('mutable') } catch (e) { return new Response(e.name) } }
