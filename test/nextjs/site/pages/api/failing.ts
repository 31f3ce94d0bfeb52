import type { NextApiRequest, NextApiResponse } from 'next'

export const config = { type: 'experimental-background', maxDuration: 30, retries: 1, retryDelays: [0.1] }

export default async function handler(req: NextApiRequest, _res: NextApiResponse) {
  throw new TypeError(`no ${req.body.what} in attempt ${req.headers['nightshift-attempt']}`)
}
