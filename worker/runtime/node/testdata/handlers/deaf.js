process.on('SIGTERM', () => console.log('not listening'))
exports.handler = () => {
  console.log('deaf')
  return new Promise(() => setInterval(() => {}, 1000))
}
