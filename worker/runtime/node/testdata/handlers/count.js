let calls = 0
exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify({ calls: ++calls, pid: process.pid, said: event.body }) })
