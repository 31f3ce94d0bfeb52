export const config = { type: 'experimental-scheduled', schedule: '0 3 * * *', timezone: 'Europe/Berlin', maxDuration: 30 }

export default async function handler(req, res) {
  console.log(`cleaning up; the next time is ${req.body.next_run}`)
  res.status(200).json({ next: req.body.next_run })
}
