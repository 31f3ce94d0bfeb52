import fs from 'node:fs'
import path from 'node:path'
import { cookies, headers } from 'next/headers'
import { NextResponse, type NextRequest } from 'next/server'
import ms from 'ms'

export const maxDuration = 20

// Promises since Next 15; await takes both.
export async function GET(request: NextRequest, { params }: any) {
  const store: any = await cookies()
  const list: any = await headers()
  return NextResponse.json({
    params: await params,
    url: request.url,
    search: request.nextUrl.searchParams.getAll('a'),
    cookie: store.get('c')?.value,
    header: list.get('x-test'),
    ms: ms('2 days'),
    file: fs.readFileSync(path.join(process.cwd(), 'data/word.txt'), 'utf8'),
    env: process.env.FROM_FILE,
    registered: (globalThis as any).registered,
  })
}

export async function PUT(request: Request) {
  return new Response((await request.text()).toUpperCase(), { status: 201, headers: { 'x-made': 'yes' } })
}
