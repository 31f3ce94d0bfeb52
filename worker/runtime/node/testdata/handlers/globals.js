// Replaces what the bootstrap could stumble over, once, and goes on working.
const { log } = console
let broken = false
function breakAll() {
  broken = true
  const never = () => {
    throw new TypeError('the replaced global was used')
  }
  process.env = {}
  process.exit = process.stdout.write = process.stderr.write = never
  JSON.parse = JSON.stringify = Date.now = never
  for (const name of ['Promise', 'Buffer', 'fetch', 'Request', 'Response', 'Headers', 'URL', 'Error', 'TypeError', 'console', 'setImmediate', 'setTimeout', 'process', 'awslambda', 'Netlify']) {
    globalThis[name] = never
  }
}
exports.handler = async (event, context) => {
  if (!broken) breakAll()
  if (event.body === 'throw') throw new SyntaxError('a function of its own')
  if (event.body === 'string') throw 'only a string'
  if (event.body === 'stream') return { statusCode: 200, body: (async function* () { yield 'one '; yield 'two' })() }
  return { statusCode: 200, body: `${context.functionName} ${context.getRemainingTimeInMillis() > 0} ${event.body}` }
}
