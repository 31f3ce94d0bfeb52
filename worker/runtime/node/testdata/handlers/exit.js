exports.handler = async () => {
  console.log('leaving')
  process.exit(3)
}
