// What Node loads only when it is first used, loaded while a spare has time:
// its fetch, the CommonJS loader with its lexer, streams. It takes tens of
// milliseconds that the first call would pay.

import { contextOf } from './context.mjs'
import { keepFetch, requestOf } from './v2.mjs'

export async function warm() {
  keepFetch()
  const event = { httpMethod: 'POST', rawUrl: 'http://localhost/', headers: { host: 'localhost' }, body: '{}' }
  const request = requestOf(event)
  const { context } = contextOf(event, request, { id: '', attempt: 1 }, {}, [])
  const response = context.json(await request.json())
  const reader = response.body.getReader()
  while (!(await reader.read()).done);
  await import('./warm.cjs')
}
