const { greet } = require(process.env.ADDON)
exports.handler = async (event) => ({ statusCode: 200, body: greet(event.body) })
