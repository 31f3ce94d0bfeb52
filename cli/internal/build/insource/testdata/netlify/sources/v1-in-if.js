if (process.env.X) { exports.handler = async () => ({ statusCode: 200 }) } else { exports.handler = async () => ({ statusCode: 204 }) }
