export const dynamic = 'force-dynamic'

export const GET = Object.assign(
  async (request: Request) => {
    const { pathname } = new URL(request.url)
    const report = new URLSearchParams({ route: 'app', method: request.method, url: pathname, event: String(request.headers.get('x-nf-event')) })
    await fetch(`${process.env.COLLECTOR}/?${report}`)
    return new Response(null, { status: 204 })
  },
  { config: { type: 'experimental-scheduled', schedule: '* * * * * *' } },
)
