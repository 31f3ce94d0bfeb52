import type { NextApiRequest, NextApiResponse } from 'next'

// Next's own type of config wants one of its own keys to be there.
export const config = { type: 'experimental-background', maxDuration: 120 }

export default async function handler(req: NextApiRequest, res: NextApiResponse) {
  console.log('background with', req.body.name)
  res.setHeader('x-from', 'route').status(202).json({ hello: req.body.name, method: req.method, url: req.url })
}
