import { sleep } from '../../lib/sleep'

// The caller gets 202 at once; this goes on.
export const config = { type: 'experimental-background', maxDuration: 300 }

export default async function handler(req, res) {
  const { name } = req.body
  console.log(`preparing a welcome for ${name}`)
  await sleep(1000)
  res.status(200).json({ welcome: name }) // kept as the result
}
