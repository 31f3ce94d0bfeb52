// Stands for your shop's API, beside a mail server that sends nothing on. PORT is
// where it listens, 4000 by default.
import { createServer } from 'node:http';
import './mail-sink.mjs';

const orders = [
  { month: '2026-10', product: 'Lantern', cents: 2450 },
  { month: '2026-10', product: 'Tent', cents: 18900 },
  { month: '2026-10', product: 'Lantern', cents: 2450 },
  { month: '2026-11', product: 'Kettle', cents: 2125 },
];

createServer((request, response) => {
  const url = new URL(request.url, 'http://shop');
  if (url.pathname !== '/orders') return response.writeHead(404).end('not here\n');
  const month = url.searchParams.get('month');
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(orders.filter((order) => order.month === month)));
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
