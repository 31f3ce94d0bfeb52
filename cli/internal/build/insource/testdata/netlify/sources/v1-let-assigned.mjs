let handler
handler = async () => ({ statusCode: 200 })
export { handler }
