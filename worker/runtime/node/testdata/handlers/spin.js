exports.handler = async () => {
  console.log('spinning')
  for (;;) {}
}
