exports.handler = require('@netlify/functions').schedule('@daily', async () => ({ statusCode: 200 }))
