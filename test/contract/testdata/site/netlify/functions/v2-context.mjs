const json = (v) => Response.json(v)
export default async (req, context) => {
  switch (new URL(req.url).searchParams.get('case')) {
    case 'json': return context.json({ a: 1 }, { status: 201, headers: { 'x-a': '1' } })
    case 'json-undefined': return context.json(undefined)
    case 'next': { const r = await context.next(); return json({ next: r === undefined ? 'undefined' : typeof r }) }
    case 'rewrite': { const r = await context.rewrite('/static.txt'); return json({ rewrite: r instanceof Response ? [r.status, await r.text()] : typeof r }) }
    case 'rewrite-url': { const r = await context.rewrite(new URL('/data.json', req.url)); return json({ rewrite: r instanceof Response ? [r.status, await r.text()] : typeof r }) }
    case 'rewrite-return': return context.rewrite('/static.txt')
    case 'log': return json({ log: context.log('spoken', { a: 1 }) ?? null })
    case 'wait': return json({ wait: context.waitUntil(Promise.resolve(1)) ?? null })
    case 'wait-value': return json({ wait: context.waitUntil('not a promise') ?? null })
    case 'wait-rejects': context.waitUntil(Promise.reject(new Error('later trouble'))); return json({ ok: true })
    case 'types': return json(Object.fromEntries(Object.keys(context).sort().map((k) => [k, context[k] instanceof URL ? 'URL' : Array.isArray(context[k]) ? 'array' : context[k] === null ? 'null' : typeof context[k]])))
    case 'url': return json({ string: String(context.url), json: context.url, host: context.url.pathname, same: context.url.href === req.url })
    case 'fields': return json({ account: context.account, deploy: context.deploy, site: context.site, server: context.server, flags: context.flags, geo: context.geo, params: context.params, path: context.path ?? null, ip: context.ip })
    case 'same-id': return json({ same: context.requestId === req.headers.get('x-nf-request-id') })
    case 'same-ip': return json({ same: context.ip === req.headers.get('x-nf-client-connection-ip') })
    case 'global': return json({ same: Netlify.context === context, url: Netlify.context?.requestId === context.requestId, keys: Object.keys(Netlify).sort() })
    case 'env': Netlify.env.set('OWN', 'v'); return json({ get: Netlify.env.get('OWN'), has: Netlify.env.has('OWN'), process: process.env.OWN, missing: Netlify.env.get('MISSING') ?? null, hasMissing: Netlify.env.has('MISSING'), object: Netlify.env.toObject().OWN, deleted: Netlify.env.delete('OWN') ?? null, after: Netlify.env.get('OWN') ?? null, keys: Object.keys(Netlify.env).sort() })
    case 'cookies': {
      const c = context.cookies
      c.set({ name: 'all', value: 'v', domain: 'example.com', path: '/p', maxAge: 60, expires: new Date(0), secure: true, httpOnly: true, sameSite: 'Lax' })
      c.set('twice', '1')
      c.set('twice', '2')
      c.delete({ name: 'gone', path: '/p', domain: 'example.com' })
      return json({ in: c.get('in'), quoted: c.get('quoted') ?? null, encoded: c.get('encoded') ?? null, missing: c.get('missing') ?? null, set: c.get('twice') ?? null, keys: Object.keys(c).sort() })
    }
    case 'cookie-space': context.cookies.set('c', 'a b'); return new Response('ok')
    case 'cookie-semicolon': context.cookies.set('c', 'a;b'); return new Response('ok')
    case 'cookie-unicode': context.cookies.set('c', 'é'); return new Response('ok')
    case 'cookie-name': context.cookies.set('a b', 'c'); return new Response('ok')
    case 'cookies-and-own': context.cookies.set('c', '1'); return new Response('ok', { headers: { 'set-cookie': 'own=1' } })
    case 'cookies-immutable': context.cookies.set('c', '1'); return Response.redirect('http://example.com/', 302)
  }
}
