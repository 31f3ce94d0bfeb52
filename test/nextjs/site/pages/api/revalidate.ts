import type { NextApiRequest, NextApiResponse } from 'next'

export default async function handler(_req: NextApiRequest, res: NextApiResponse) {
  try {
    await res.revalidate('/')
    res.json({ revalidated: true })
  } catch (error) {
    res.status(501).json({ error: String(error) })
  }
}
