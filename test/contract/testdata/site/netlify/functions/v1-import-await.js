exports.handler = async () => {
  const m = await import('../../lib/esm.mjs') // has a top-level await
  return { statusCode: 200, body: m.default }
}
