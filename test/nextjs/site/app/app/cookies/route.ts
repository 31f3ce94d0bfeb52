import { cookies } from 'next/headers'

export const dynamic = 'force-dynamic'

export async function GET() {
  const store: any = await cookies()
  store.set('a', '1')
  const response = new Response('set', { status: 203 })
  response.headers.append('set-cookie', 'b=2')
  return response
}
