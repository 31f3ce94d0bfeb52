const at = require('@netlify/functions').schedule
exports.handler = at('@daily', async () => ({ statusCode: 200 }))
