// Stands for your shop's API and for your object store. PORT is where it listens,
// 4000 by default.
import { createServer } from 'node:http';
import { buffer, json } from 'node:stream/consumers';

const orders = [
  { product: 'Lantern', cents: 2450 },
  { product: 'Tent', cents: 18900 },
  { product: 'Lantern', cents: 2450 },
];
const objects = new Map();

async function answer(request) {
  if (request.url === '/orders' && request.method === 'POST') orders.push(await json(request));
  if (request.url === '/orders') return JSON.stringify(orders);
  if (request.method === 'PUT') objects.set(request.url, await buffer(request));
  return objects.get(request.url);
}

createServer(async (request, response) => {
  const body = await answer(request);
  response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' }).end(body);
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
