import type { NextApiRequest, NextApiResponse } from 'next'

export default function handler(req: NextApiRequest, res: NextApiResponse) {
  if (!req.draftMode) res.setDraftMode({ enable: true })
  res.json({ draft: Boolean(req.draftMode) })
}
