const { schedule: at } = require('@netlify/functions')
module.exports.handler = at('@daily', async () => ({ statusCode: 200 }))
