import assert from 'node:assert/strict'
import test from 'node:test'
import { Fault, describe } from '../errors.cjs'

test('errors keep name, message and their own frames', () => {
  const error = new TypeError('in /root/task/file.js')
  error.stack = [
    'TypeError: in /root/task/file.js',
    '    at own (file:///root/task/a.mjs:1:2)',
    '    at other (/root/task/b.js:3:4)',
    `    at invoke (${new URL('../v1.cjs', import.meta.url).href}:5:6)`,
    '    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)',
  ].join('\n')
  assert.deepEqual(describe(error, '/root/task'), {
    errorType: 'TypeError',
    errorMessage: 'in file.js',
    stackTrace: ['    at own (a.mjs:1:2)', '    at other (b.js:3:4)'],
  })
})

test('anything can be thrown', () => {
  for (const [thrown, type, message] of [
    ['text', 'string', 'text'],
    [7, 'number', '7'],
    [null, 'null', 'null'],
    [undefined, 'undefined', 'undefined'],
    [{ a: 1 }, 'object', '{"a":1}'],
    [Symbol('s'), 'symbol', 'Symbol(s)'],
    [10n, 'bigint', '10'],
    [Object.create(null), 'object', '{}'],
  ]) {
    assert.deepEqual(describe(thrown), { errorType: type, errorMessage: message, stackTrace: [] })
  }
  const cycle = {}
  cycle.cycle = cycle
  assert.equal(describe(cycle).errorMessage, '[object Object]')
})

test('causes follow, a cycle of them ends', () => {
  const error = new Error('outer')
  error.cause = error
  assert.equal(describe(error).stackTrace.filter((line) => line.startsWith('Caused by: Error: outer')).length, 5)
})

test('errors without a usable stack', () => {
  const error = new Error('x')
  error.stack = undefined
  assert.deepEqual(describe(error).stackTrace, [])
})

test('our own errors have no stack', () => {
  assert.deepEqual(describe(new Fault('Runtime.Stalled', 'why')), { errorType: 'Runtime.Stalled', errorMessage: 'why', stackTrace: [] })
})

test('who asks for /tmp is told where to go', () => {
  const own = process.env.TMPDIR
  process.env.TMPDIR = '/tmp/own'
  try {
    const fail = (code, path) => Object.assign(new Error('no'), { code, path })
    assert.match(describe(fail('EACCES', '/tmp/x')).errorMessage, /^no \(.*os\.tmpdir\(\).*\/tmp\/own\)$/)
    for (const error of [fail('ENOENT', '/tmp/x'), fail('EACCES', '/tmp/own/x'), fail('EACCES', '/tmpfile'), fail('EACCES', undefined)]) {
      assert.equal(describe(error).errorMessage, 'no')
    }
  } finally {
    if (own === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = own
  }
})
