// Answers with the newest figures. STORE_URL is an object store.
export default async () => {
  const stored = await fetch(`${Netlify.env.get('STORE_URL')}/dashboard.json`, { signal: AbortSignal.timeout(5_000) });
  if (stored.status === 404) return new Response('There are no figures yet.\n', { status: 503, headers: { 'retry-after': '300' } });
  if (!stored.ok) return new Response('The store does not answer.\n', { status: 502 });
  return new Response(stored.body, {
    headers: { 'content-type': 'application/json', 'cache-control': 'public, max-age=60' },
  });
};

export const config = { path: '/api/dashboard', method: 'GET' };
