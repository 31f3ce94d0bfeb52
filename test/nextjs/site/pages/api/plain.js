import fs from 'node:fs'
import path from 'node:path'
import ms from 'ms'

// Tells all that it was given.
export default function handler(req, res) {
  res.status(201).json({
    method: req.method,
    url: req.url,
    query: req.query,
    cookies: req.cookies,
    body: req.body,
    header: req.headers['x-test'],
    encrypted: Boolean(req.socket.encrypted),
    ms: ms('2 days'),
    file: fs.readFileSync(path.join(process.cwd(), 'data/word.txt'), 'utf8'),
    env: process.env.FROM_FILE,
    local: process.env.FROM_LOCAL,
    registered: globalThis.registered,
    preview: req.preview ?? false,
  })
}
