const { schedule } = require('@netlify/functions')
module.exports = { handler: schedule('@daily', async () => ({ statusCode: 200 })) }
