import assert from 'node:assert/strict'
import test from 'node:test'
import { paramsOf } from '../params.cjs'

for (const [pattern, path, want] of [
  ['/items/:id', '/items/7', { id: '7' }],
  ['/items/:id', '/items/7/', { id: '7' }],
  ['/items/:id', '/Items/7', {}], // matched by the gateway, but groups are case sensitive
  ['/items/:id/sub/:rest', '/items/42/sub/x%20y', { id: '42', rest: 'x%20y' }],
  ['/files/*', '/files/a/b.txt', { 0: 'a/b.txt' }],
  ['/a/*/b/*', '/a/1/b/2/3', { 0: '1', 1: '2/3' }],
  ['/items/:id(\\d+)', '/items/12', { id: '12' }],
  ['/items/:id(\\d+)', '/items/x', {}],
  ['/items/(\\d+)/:name', '/items/12/n', { 0: '12', name: 'n' }],
  ['/items/:id?', '/items', {}],
  ['/items/:id?', '/items/7', { id: '7' }],
  ['/items/:path+', '/items/a/b', { path: 'a/b' }],
  ['/items/:path*', '/items', {}],
  ['/shop{/:section}?/buy', '/shop/buy', {}],
  ['/shop{/:section}?/buy', '/shop/books/buy', { section: 'books' }],
  ['/a.b/:x-:y', '/a.b/1-2', { x: '1', y: '2' }],
  ['/a.b/:x', '/aXb/1', {}],
  ['/:a/:b', '/', {}],
  ['/plain', '/plain', {}],
  ['/:ünï/:_a$1', '/v/w', { ünï: 'v', _a$1: 'w' }],
  ['/café/🌙/:id', '/caf%C3%A9/%F0%9F%8C%99/7', { id: '7' }],
]) {
  test(`${pattern} on ${path}`, () => assert.deepEqual(paramsOf(pattern, path), want))
}
