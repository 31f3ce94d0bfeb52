const json = (v) => Response.json(v)
export default async (req) => {
  switch (new URL(req.url).searchParams.get('case')) {
    case 'json': return json({ body: await req.json() })
    case 'form': return json({ body: [...(await req.formData()).entries()].map(([k, v]) => [k, typeof v === 'string' ? v : [v.name, v.type, v.size]]) })
    case 'bytes': return json({ hex: Buffer.from(await req.arrayBuffer()).toString('hex') })
    case 'size': return json({ size: (await req.arrayBuffer()).byteLength })
    case 'headers': return json({ headers: Object.fromEntries(req.headers), custom: req.headers.get('X-CUSTOM') })
    case 'meta': return json({ method: req.method, url: req.url, bodyIsNull: req.body === null, bodyUsed: req.bodyUsed, signal: req.signal instanceof AbortSignal, aborted: req.signal?.aborted, isRequest: req instanceof Request, mode: req.mode, redirect: req.redirect, duplex: req.duplex ?? null })
    case 'clone': { const c = req.clone(); return json({ a: await req.text(), b: await c.text() }) }
    case 'twice': await req.text(); return json({ b: await req.text() })
    default: return json({ method: req.method, url: req.url, body: await req.text() })
  }
}
