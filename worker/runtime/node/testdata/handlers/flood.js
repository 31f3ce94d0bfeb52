const line = 'x'.repeat(999) + '\n'
exports.handler = async () => {
  for (let i = 0; i < 100_000; i++) process.stdout.write(line)
  return { statusCode: 200, body: 'flooded' }
}
