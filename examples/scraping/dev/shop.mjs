// Stands for the shop whose prices are read: three pages, of which the second is
// overloaded the first time. PORT is where it listens, 4000 by default.
import { createServer } from 'node:http';

const pages = [
  { Lantern: 24.5, Thermos: 18 },
  { Blanket: 39.9, Kettle: 21.25 },
  { Tent: 189, 'Rope & hooks': 12.75 },
];
let overloaded = true;

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

function page(number) {
  const items = Object.entries(pages[number - 1]).map(
    ([name, price]) => `<li class="item"><b class="name">${escape(name)}</b> <span data-price="${price}">${price} €</span></li>`,
  );
  const next = number < pages.length ? `<a rel="next" href="/catalogue?page=${number + 1}">more</a>` : '';
  return `<!doctype html><title>Catalogue</title><ul>${items.join('')}</ul>${next}`;
}

createServer((request, response) => {
  const url = new URL(request.url, 'http://shop');
  const number = Number(url.searchParams.get('page') ?? 1);
  let status = url.pathname === '/catalogue' && pages[number - 1] ? 200 : 404;
  if (status === 200 && number === 2 && overloaded) {
    overloaded = false;
    status = 503;
  }
  console.log(`shop: ${request.method} ${request.url} ${status}`);
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(status === 200 ? page(number) : `${status}\n`);
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
