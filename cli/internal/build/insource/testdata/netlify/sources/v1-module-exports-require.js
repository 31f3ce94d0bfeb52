module.exports = require('./lib/v1.cjs')
