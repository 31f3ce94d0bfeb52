// Reads a page and keeps what it found as the result. A background function by
// its config instead of by its name, with a limit and retries of its own.
import { parse } from 'node-html-parser';

export default async (request) => {
  // By default the page of this site; SHOP_URL is another one.
  const page = await fetch(process.env.SHOP_URL ?? new URL('/prices', request.url));
  if (!page.ok) throw new Error(`the page answered ${page.status}`); // thrown, so it is tried again
  const items = parse(await page.text()).querySelectorAll('tr.item');
  const found = items.map((item) => ({ name: item.querySelector('td').text, price: Number(item.querySelector('[data-price]').getAttribute('data-price')) }));
  console.log(`found ${found.length} prices`);
  return Response.json(found);
};

// Seconds: one minute at most, and another try after 5 s, then after 30 s.
export const config = { background: true, timeout: 60, retries: 2, retryDelays: [5, 30] };
