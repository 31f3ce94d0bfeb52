import type { NextApiRequest, NextApiResponse } from 'next'

export const config = { api: { bodyParser: { sizeLimit: '1kb' } }, maxDuration: 5 }

export default function handler(req: NextApiRequest, res: NextApiResponse) {
  res.json({ length: req.body.length })
}
