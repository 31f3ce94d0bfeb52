// Stands for your shop's API, beside a mail server that sends nothing on: three
// customers, of whom two order something each month. PORT is where it listens,
// 4000 by default.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import './mail-sink.mjs';

const customers = {
  ada: { name: 'Ada', email: 'ada@example.com' },
  ben: { name: 'Ben', email: 'ben@example.com' },
  cem: { name: 'Cem', email: 'cem@example.com' },
};
const orders = [
  { customer: 'ada', product: 'Lantern', cents: 2450 },
  { customer: 'ben', product: 'Tent', cents: 18900 },
  { customer: 'ada', product: 'Blanket', cents: 3990 },
];
const invoices = {};

async function answer(method, path, request) {
  const [, collection, id] = path.split('/');
  if (collection === 'orders') return orders;
  if (collection === 'customers') return customers[id];
  if (collection !== 'invoices') return undefined;
  if (method === 'PUT') invoices[id] = await json(request);
  return id ? invoices[id] : invoices;
}

createServer(async (request, response) => {
  const { pathname } = new URL(request.url, 'http://shop');
  const body = await answer(request.method, pathname, request);
  response.writeHead(body ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
