// As globals.js, for fetch-style functions, without Buffer and URL: Node makes
// requests of them itself.
const Own = { Response, ReadableStream, TextEncoder }
let broken = false
function breakAll() {
  broken = true
  const never = () => {
    throw new TypeError('the replaced global was used')
  }
  process.env = {}
  process.exit = process.stderr.write = never
  JSON.parse = JSON.stringify = Date.now = never
  for (const name of ['fetch', 'Request', 'Response', 'Headers', 'Error', 'TypeError', 'console', 'setImmediate', 'process', 'awslambda', 'Netlify']) globalThis[name] = never
}
export default async (request, context) => {
  const name = new URL(request.url).searchParams.get('case')
  if (!broken) breakAll()
  if (name === 'throw') throw new SyntaxError('a function of its own')
  if (name === 'wait') context.waitUntil(Promise.reject(new RangeError('later')))
  if (name === 'undefined') return
  if (name === 'stream') return new Own.Response(new Own.ReadableStream({ start(controller) { setTimeout(() => { controller.enqueue(new Own.TextEncoder().encode('streamed')); controller.close() }, 5) } }))
  return new Own.Response(`${request.method} ${context.url.pathname} ${context.site.name} ${await request.text()}`)
}
