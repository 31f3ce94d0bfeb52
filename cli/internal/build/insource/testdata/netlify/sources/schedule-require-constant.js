const { schedule } = require('@netlify/functions')
const CRON = '@weekly'
const run = async () => ({ statusCode: 200 })
module.exports.handler = schedule(CRON, run)
