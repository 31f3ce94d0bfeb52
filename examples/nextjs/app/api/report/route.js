import { sleep } from '../../../lib/sleep'

// A route handler says behind itself what it is.
export async function POST(request) {
  const { title } = await request.json()
  for (let part = 1; part <= 3; part++) {
    console.log(`${title}: part ${part} of 3`)
    await sleep(300)
  }
  return Response.json({ title, parts: 3 })
}
POST.config = { type: 'experimental-background', timeout: 600, retries: 1 }

// Another handler of the same file stays an ordinary one.
export async function GET(request) {
  const title = request.nextUrl.searchParams.get('title') ?? 'nothing'
  return new Response(`POST makes a report about ${title}\n`)
}
