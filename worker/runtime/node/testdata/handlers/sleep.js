exports.handler = async (event) => {
  console.log(`begin ${event.body}`)
  await new Promise((resolve) => setTimeout(resolve, Number(event.body)))
  console.log(`end ${event.body}`)
  return { statusCode: 200, body: String(process.pid) }
}
