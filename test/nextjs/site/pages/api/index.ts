import type { NextApiRequest, NextApiResponse } from 'next'

// A module that waits is a promise once it is compiled.
const text = await Promise.resolve('index')

export default function handler(_req: NextApiRequest, res: NextApiResponse) {
  res.status(200).send(text)
}
