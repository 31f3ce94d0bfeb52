export async function POST(request: Request) {
  const { name } = await request.json()
  if (name === 'nobody') throw new RangeError('nobody is there')
  return Response.json({ hello: name, url: new URL(request.url).pathname })
}
POST.config = { type: 'experimental-background', timeout: 60, retries: 1, retryDelays: [0.1] }

// An ordinary handler beside it.
export async function GET(request: Request) {
  return new Response(`status of ${new URL(request.url).searchParams.get('id')}`)
}
