exports.report = async (headers, seen) => {
  const url = headers['x-collector']
  if (url) await fetch(url, { method: 'POST', body: JSON.stringify(seen) })
}
