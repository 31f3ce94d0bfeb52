const { spawn } = require('node:child_process')
exports.handler = async (event) => {
  const child = spawn('sleep', ['300'], event.body === 'detached' ? { detached: true, stdio: 'ignore' } : { stdio: 'inherit' })
  child.unref()
  console.log(`pid ${child.pid}`)
  if (event.queryStringParameters?.crash) process.exit(7)
  return { statusCode: 200 }
}
