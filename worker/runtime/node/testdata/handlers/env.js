const fs = require('node:fs')
exports.handler = async () => ({
  statusCode: 200,
  body: JSON.stringify({ env: process.env, self: fs.readFileSync('/proc/self/environ', 'utf8').split('\0'), parent: read('/proc/self/environ') }),
})
function read(file) {
  return fs.readFileSync(file, 'utf8').length
}
