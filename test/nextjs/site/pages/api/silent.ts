import type { NextApiRequest, NextApiResponse } from 'next'

export const config = { type: 'experimental-background', maxDuration: 30 }

// Nobody reads the answer, so there is none.
export default async function handler(_req: NextApiRequest, _res: NextApiResponse) {}
