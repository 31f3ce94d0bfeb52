class OwnError extends Error { constructor(m) { super(m); this.name = 'OwnError' } }
class Unnamed extends Error {}
const cases = {
  error: () => { throw new Error('plain') },
  own: () => { throw new OwnError('own class') },
  unnamed: () => { throw new Unnamed('class without a name') },
  string: () => { throw 'only text' },
  number: () => { throw 42 },
  null: () => { throw null },
  undefined: () => { throw undefined },
  object: () => { throw { a: 1 } },
  'object-message': () => { throw { message: 'from an object', name: 'Odd' } },
  cause: () => { throw new Error('outer', { cause: new Error('inner') }) },
  lines: () => { throw new Error('first\nsecond') },
  'empty-message': () => { throw new Error('') },
  aggregate: () => { throw new AggregateError([new Error('one')], 'many') },
  status: () => { const e = new Error('with status'); e.statusCode = 418; throw e },
  'no-stack': () => { const e = new Error('without stack'); e.stack = undefined; throw e },
}
exports.handler = async (event) => cases[event.queryStringParameters.case]()
