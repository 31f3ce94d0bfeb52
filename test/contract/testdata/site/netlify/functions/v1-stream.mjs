import { stream } from '@netlify/functions'
export const handler = stream(async (event) => ({
  statusCode: event.queryStringParameters.status ?? 200,
  headers: { 'content-type': 'text/event-stream', 'x-streamed': 'yes' },
  multiValueHeaders: { 'set-cookie': ['a=1', 'b=2'] },
  body: event.queryStringParameters.text ? 'as text' : new ReadableStream({
    async start(c) {
      const e = new TextEncoder()
      for (let i = 0; i < 3; i++) { c.enqueue(e.encode(`data: ${i}\n\n`)); await new Promise((r) => setTimeout(r, 20)) }
      c.close()
    },
  }),
}))
