// A page at a path of its own, for scrape-prices to read.
const prices = { Lantern: 24.5, Thermos: 18, Blanket: 39.9 };
const row = ([name, price]) => `<tr class="item"><td>${name}</td><td data-price="${price}">${price} €</td></tr>`;

export default () =>
  new Response(`<!doctype html><title>Prices</title><table>${Object.entries(prices).map(row).join('')}</table>`, {
    headers: { 'content-type': 'text/html; charset=utf-8' },
  });

export const config = { path: '/prices' };
