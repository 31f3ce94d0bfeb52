exports.handler = async () => {
  await null
  throw new RangeError('rejected later', { cause: new Error('the reason') })
}
