'use strict'
// What Node loads only when it is first used, loaded while a spare has time:
// its fetch, the loader of ES modules with its lexer, streams. It takes tens of
// milliseconds that the first call would pay.

const { contextOf } = require('./context.cjs')
const { keepFetch, requestOf } = require('./v2.cjs')

async function warm() {
  keepFetch()
  const event = { httpMethod: 'POST', rawUrl: 'http://localhost/', headers: { host: 'localhost' }, body: '{}' }
  const request = requestOf(event)
  const { context } = contextOf(event, request, { id: '', attempt: 1 }, {}, [])
  const response = context.json(await request.json())
  const reader = response.body.getReader()
  while (!(await reader.read()).done);
  await importModule('./stand-in.cjs')
}

module.exports = { warm }
