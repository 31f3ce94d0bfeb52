exports.handler = async () => {
  const x = = 3
}
