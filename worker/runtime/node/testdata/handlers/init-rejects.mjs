const connect = async () => {
  throw new RangeError('the database is not there')
}
await connect()
export const handler = async () => ({ statusCode: 200 })
