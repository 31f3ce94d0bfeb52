const fs = require('node:fs')
let ticks = 0
exports.handler = async (event) => {
  if (event.body === 'start') setInterval(() => ticks++, 1)
  else if (event.body === 'wait') while (ticks < 3) await new Promise((resolve) => setTimeout(resolve, 1))
  else
    setInterval(() => {
      if (fs.existsSync(event.body)) throw new Error('thrown while nothing ran')
    }, 1)
  return { statusCode: 200, body: String(process.pid) }
}
