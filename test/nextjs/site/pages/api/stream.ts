import type { NextApiRequest, NextApiResponse } from 'next'
import { setTimeout } from 'node:timers/promises'

export default async function handler(_req: NextApiRequest, res: NextApiResponse) {
  res.writeHead(200, { 'content-type': 'text/plain' })
  res.write('one,')
  await setTimeout(2000)
  res.end('two')
}
