import assert from 'node:assert/strict'
import test from 'node:test'
import { keepFetch, requestOf } from '../v2.cjs'

keepFetch()

const base = { rawUrl: 'http://a.test/p?q=1', headers: { host: 'a.test' } }

test('a request with a body', async () => {
  const request = requestOf({ ...base, httpMethod: 'PUT', body: 'aGk=', isBase64Encoded: true })
  assert.equal(request.method, 'PUT')
  assert.equal(request.url, base.rawUrl)
  assert.equal(await request.text(), 'hi')
})

test('GET and HEAD have no body, whatever the event says', async () => {
  for (const httpMethod of ['GET', 'HEAD']) {
    assert.equal(await requestOf({ ...base, httpMethod, body: 'x' }).text(), '')
  }
})

test('headers in both forms', () => {
  const request = requestOf({
    ...base,
    httpMethod: 'GET',
    headers: { accept: 'a, b', 'x-one': '1' },
    multiValueHeaders: { accept: ['a', 'b'] },
  })
  assert.equal(request.headers.get('accept'), 'a, b')
  assert.equal(request.headers.get('x-one'), '1')
})
