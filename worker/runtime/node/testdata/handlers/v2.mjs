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
      params: context.params,
      requestId: context.requestId,
      ip: context.ip,
      geo: context.geo,
      same: globalThis.Netlify.context === context,
      env: Netlify.env.get('OWN'),
    }),
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
