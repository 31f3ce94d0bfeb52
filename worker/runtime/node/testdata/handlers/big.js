exports.handler = async (event) => ({ statusCode: 200, body: 'b'.repeat(Number(event.body)) })
