export const dynamic = 'force-dynamic'

const first = await Promise.resolve('one,')

export function GET() {
  const encoder = new TextEncoder()
  return new Response(
    new ReadableStream({
      async start(controller) {
        controller.enqueue(encoder.encode(first))
        await new Promise((resolve) => setTimeout(resolve, 2000))
        controller.enqueue(encoder.encode('two'))
        controller.close()
      },
    }),
  )
}
