const answers = {
  ok: [null, { statusCode: 201, headers: { 'x-called': 'back' }, body: 'called back' }],
  error: [new RangeError('told by callback')],
  text: ['only text'],
  both: [new Error('wins'), { statusCode: 200, body: 'loses' }],
  nothing: [],
  null: [null, null],
  bad: [null, { statusCode: 'abc' }],
}
exports.handler = (event, context, callback) => {
  const answer = answers[event.queryStringParameters.case]
  if (event.queryStringParameters.later) setTimeout(() => callback(...answer), 20)
  else callback(...answer)
}
