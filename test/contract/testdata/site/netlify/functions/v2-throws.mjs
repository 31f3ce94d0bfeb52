class OwnError extends Error { name = 'OwnError' }
const cases = {
  error: () => { throw new Error('plain') },
  own: () => { throw new OwnError('own class') },
  string: () => { throw 'only text' },
  number: () => { throw 42 },
  null: () => { throw null },
  undefined: () => { throw undefined },
  object: () => { throw { a: 1 } },
  response: () => { throw new Response('thrown response', { status: 418 }) },
  cause: () => { throw new Error('outer', { cause: new Error('inner') }) },
  lines: () => { throw new Error('first\nsecond') },
  reject: () => Promise.reject(new RangeError('rejected')),
}
export default (req) => cases[new URL(req.url).searchParams.get('case')]()
