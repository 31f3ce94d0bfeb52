// What getContext of @netlify/functions does.
const store = globalThis[Symbol.for('@netlify/functions/request-context-store')]
export default async (request, context) => {
  await null
  const { AsyncLocalStorage } = await import('node:async_hooks')
  return new Response(`${store instanceof AsyncLocalStorage} ${store.getStore().context === context}`)
}
