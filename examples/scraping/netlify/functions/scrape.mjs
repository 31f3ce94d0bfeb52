// Reads the prices of a catalogue, page by page, and keeps them as the result.
// CATALOGUE_URL is the first page.
import { setTimeout as pause } from 'node:timers/promises';
import { load } from 'cheerio';

const maxPages = 50;

export default async (request, context) => {
  const found = [];
  const seen = new Set();
  let next = new URL(Netlify.env.get('CATALOGUE_URL'));
  while (next && !seen.has(next.href) && seen.size < maxPages) {
    if (seen.size > 0) await pause(100); // a guest does not hurry
    seen.add(next.href);
    const $ = load(await read(next));
    const items = $('.item')
      .map((_, item) => ({ name: $(item).find('.name').text().trim(), price: Number($(item).find('[data-price]').attr('data-price')) }))
      .get();
    // A page without items is one whose layout has changed, not an empty shop.
    if (items.length === 0) throw new Error(`${next.pathname} has no items`);
    found.push(...items);
    console.log(`attempt ${context.attempt}: ${items.length} items on ${next.pathname}`);
    next = follow(next, $('a[rel=next]').attr('href'));
  }
  return Response.json(found);
};

async function read(url) {
  const page = await fetch(url, { headers: { 'user-agent': 'price-watch/1.0' }, signal: AbortSignal.timeout(30_000) });
  // Thrown, so the whole is tried again later; half a price list is worth nothing.
  if (!page.ok) throw new Error(`${url.pathname} answered ${page.status}`);
  return page.text();
}

// A link that leads to another host is not followed.
function follow(from, href) {
  const to = href && new URL(href, from);
  return to && to.origin === from.origin ? to : null;
}

// A background function by its config instead of by its name, at a path of its
// own. Seconds: two minutes for each attempt; the next ones after 2, 30 and 300.
export const config = { path: '/scrape', method: 'POST', background: true, timeout: 120, retries: 3, retryDelays: [2, 30, 300] };
