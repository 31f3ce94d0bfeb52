exports.handler = async () => {
  Promise.reject(new Error('nobody awaited this'))
  await new Promise((resolve) => setTimeout(resolve, 1000))
  return { statusCode: 200 }
}
