export default async (req) => { const r = await fetch('data:text/plain,fetched'); return new Response(r.body, { headers: { 'content-type': 'text/plain', 'x-from': r.headers.get('content-type') } }) }
