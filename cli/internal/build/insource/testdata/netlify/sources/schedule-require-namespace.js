const functions = require('@netlify/functions')
exports.handler = functions.schedule('@daily', async () => ({ statusCode: 200 }))
