import type { NextApiRequest, NextApiResponse } from 'next'

export default function handler(_req: NextApiRequest, res: NextApiResponse) {
  res.setHeader('Set-Cookie', ['a=1; Path=/', 'b=2; HttpOnly'])
  res.status(204).end()
}
