exports.handler = async (event) => {
  process.stdout.write(`partial ${event.body}`)
  console.error('whole')
  return { statusCode: 200 }
}
