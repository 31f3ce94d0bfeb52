const values = {
  undefined: undefined,
  null: null,
  number: 5,
  'no-status': { body: 'x' },
  'bad-status': { statusCode: 'abc' },
  'string-status': { statusCode: '203', body: 'ok' },
  response: new Response('of the other kind'),
  'bad-body': { statusCode: 200, body: { a: 1 } },
  'number-body': { statusCode: 200, body: 7 },
  headers: { statusCode: 200, headers: { 'X-One': 1, 'x-none': null, both: 'a' }, multiValueHeaders: { 'Set-Cookie': ['a=1', 'b=2'], Both: ['b', 'c'] } },
  binary: { statusCode: 200, body: Buffer.from([0, 255, 1, 254]).toString('base64'), isBase64Encoded: true },
}
exports.handler = async (event) => values[event.body]
