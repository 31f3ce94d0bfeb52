import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import test from 'node:test'

// The client ends its process when the worker is gone; here it must not.
process.exit = () => {}
const { Client, parseHead } = await import('../client.cjs')

test('parses a head', () => {
  assert.deepEqual(parseHead('HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\nX-Two:a: b'), {
    status: 202,
    headers: { 'content-length': '3', 'x-two': 'a: b' },
  })
})

// A server that answers each request as it is told, in pieces of any size.
async function serve(answer, size) {
  const requests = []
  const sockets = []
  const server = net.createServer((socket) => {
    sockets.push(socket)
    let turn = Promise.resolve()
    socket.on('data', (data) => {
      for (const request of data.toString().split(/(?=(?:GET|POST) \/)/)) {
        requests.push(request)
        turn = turn.then(async () => {
          const bytes = Buffer.from(answer)
          for (let at = 0; at < bytes.length; at += size) {
            socket.write(bytes.subarray(at, at + size))
            await new Promise(setImmediate)
          }
        })
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { close, requests, address: `127.0.0.1:${server.address().port}/secret` }
}

for (const size of [1, 7, 1000]) {
  test(`takes answers that come ${size} bytes at a time`, async () => {
    const event = JSON.stringify({ text: 'ü'.repeat(50) })
    const answer = `HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: one/two\r\nLambda-Runtime-Deadline-Ms: 5\r\nContent-Length: ${Buffer.byteLength(event)}\r\n\r\n${event}`
    const { close, requests, address } = await serve(answer, size)
    const client = new Client(address)
    for (let i = 0; i < 2; i++) {
      const next = await client.next()
      assert.equal(next.id, 'one/two')
      assert.equal(next.deadline, 5)
      assert.equal(next.event.toString(), event)
    }
    // A response goes out at once, or with the request for the next invocation.
    client.respond('one/two', '{}')
    await client.next()
    client.awaited = false
    client.respond('one/two', '"ü"')
    assert.equal((await client.next()).event, event)
    client.respondWhole('one/two', 'text/plain', Buffer.from('ü'))
    assert.equal((await client.next()).event, event)
    // And with a report of what went wrong.
    client.respond('one/two', '{}')
    await client.fail('one/two', { errorType: 'bad\r\ntype' })
    const response = 'POST /secret/2018-06-01/runtime/invocation/one%2Ftwo/response HTTP/1.1\r\n'
    assert.deepEqual(
      requests.map((request) => request.split(' HTTP')[0].split('runtime/')[1]),
      ['next', 'next', 'two/response', 'next', 'two/response', 'next', 'two/response', 'next', 'two/response', 'two/error'].map((path) => path.replace(/^(two|next)/, 'invocation/$1').replace('/two', '/one%2Ftwo')),
    )
    assert.equal(requests[4], `${response}Host: ${address.split('/')[0]}\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"ü"`)
    assert.match(requests[9], /Error-Type: bad\?\?type\r\n/)
    close()
  })
}
