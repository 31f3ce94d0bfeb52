const cases = {
  text: () => new Response('hello', { status: 202, headers: { 'X-Answer': '42' } }),
  json: (request, context) => context.json({ a: 1 }),
  undefined: () => undefined,
  number: () => 5,
  throws: () => {
    throw new URIError('no such thing')
  },
  echo: async (request) => new Response(`${request.method} ${request.url} ${request.headers.get('x-test')} ${await request.text()}`),
  cookies: (request, { cookies }) => {
    cookies.set('one', '1')
    cookies.set({ name: 'two', value: '2', path: '/', httpOnly: true })
    cookies.delete('three')
    const headers = new Headers()
    headers.append('set-cookie', 'own=a')
    headers.append('set-cookie', 'own=b')
    return new Response(cookies.get('sent'), { headers })
  },
  context: (request, context) =>
    Response.json({
      keys: Object.keys(context).sort(),
      values: Object.fromEntries(Object.entries(context).filter(([, value]) => typeof value !== 'function')),
      functions: Object.keys(context).filter((key) => typeof context[key] === 'function'),
      cookies: Object.keys(context.cookies),
      flag: [context.flags.get('any') ?? null, context.flags.evaluations.size],
      same: globalThis.Netlify.context === context,
      env: Netlify.env.get('OWN'),
      netlify: Object.keys(Netlify),
    }),
  params: (request, context) => Response.json(context.params),
  next: (request, context) => {
    try {
      return new Response(context.next())
    } catch (error) {
      return new Response(error.message)
    }
  },
  rewrite: (request, context) => context.rewrite('/other'),
  'rewrite-away': (request, context) => context.rewrite(new URL('/away?x=1', request.url)),
  'text-stream': () =>
    new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue('text ')
          controller.enqueue('as it is')
          controller.close()
        },
      }),
    ),
  'read-stream': async (request) => {
    let size = 0
    for await (const chunk of request.body) size += chunk.length
    return new Response(`${size} bytes, reused ${request.clone !== undefined && !request.bodyUsed}`)
  },
  'used-body': async () => {
    const response = new Response('once')
    await response.text()
    return response
  },
  'error-response': () => Response.error(),
  endless: () => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1000)) })),
  stream: () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          for (let i = 0; i < 5; i++) {
            controller.enqueue(new TextEncoder().encode(`chunk ${i} `))
            await new Promise((resolve) => setTimeout(resolve, 5))
          }
          controller.close()
        },
      }),
    ),
  'stream-fails': () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode('first '))
          await new Promise((resolve) => setTimeout(resolve, 20))
          controller.error(new Error('the source broke'))
        },
      }),
    ),
  'stream-exits': () =>
    new Response(
      new ReadableStream({
        async start(controller) {
          controller.enqueue(new TextEncoder().encode('first '))
          setTimeout(() => process.exit(0), 20)
        },
      }),
    ),
  binary: () => new Response(new Uint8Array(100_000).map((_, i) => i % 251)),
  huge: () => new Response('h'.repeat(21 << 20)),
  limit: () => new Response('l'.repeat(20 << 20)),
  wait: (request, context) => {
    context.waitUntil(
      new Promise((resolve) => setTimeout(resolve, 100)).then(() => {
        console.log('waited')
      }),
    )
    return new Response('early')
  },
  'wait-rejects': (request, context) => {
    context.waitUntil(Promise.reject(new Error('later trouble')))
    return new Response('early')
  },
  'wait-nothing': (request, context) => context.waitUntil(),
  'wait-throws': (request, context) => {
    context.waitUntil(new Promise((resolve) => setTimeout(resolve, 50)).then(() => console.log('waited')))
    throw new Error('thrown meanwhile')
  },
  'wait-never': (request, context) => {
    context.waitUntil(new Promise(() => {}))
    return new Response('early')
  },
  'wait-crash': (request, context) => {
    context.waitUntil(
      new Promise(() =>
        setTimeout(() => {
          throw new Error('crashed behind the response')
        }, 20),
      ),
    )
    return new Response('early')
  },
}
export default async (request, context) => cases[new URL(request.url).searchParams.get('case')](request, context)
