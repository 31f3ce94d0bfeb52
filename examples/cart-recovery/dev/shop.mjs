// Stands for your shop's API, beside a mail server that sends nothing on. A cart's
// reminder is a row with the cart as its key: who inserts it has it. PORT is where
// it listens, 4000 by default.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import './mail-sink.mjs';

const carts = [
  { id: '1', email: 'ada@example.com', items: ['Lantern'], idle: 95 },
  { id: '2', email: 'ben@example.com', items: ['Tent', 'Kettle'], idle: 240 },
  { id: '3', email: 'cem@example.com', items: ['Blanket'], idle: 5 },
];
const reminders = new Map();

const routes = {
  'GET /carts': ({ idle_minutes = 0 }) => [200, carts.filter((cart) => cart.idle >= idle_minutes)],
  'GET /reminders': () => [200, Object.fromEntries(reminders)],
  'POST /carts/:id/reminder': ({ id, run }) => {
    const taken = reminders.get(id);
    // That of a run which came to nothing is free again after an hour.
    const held = taken && taken.run !== run && Date.now() - taken.at < 3_600_000;
    if (taken?.sent || held) return [409, taken];
    reminders.set(id, { run, sent: false, at: Date.now() });
    return [201, reminders.get(id)];
  },
  'PUT /carts/:id/reminder': ({ id, ...reminder }) => [200, reminders.set(id, reminder) && reminder],
  'DELETE /carts/:id/reminder': ({ id }) => [200, { released: reminders.delete(id) }],
};

createServer(async (request, response) => {
  const url = new URL(request.url, 'http://shop');
  const [, id] = /^\/carts\/(\d+)\//.exec(url.pathname) ?? [];
  const route = routes[`${request.method} ${id ? url.pathname.replace(id, ':id') : url.pathname}`];
  const body = ['POST', 'PUT'].includes(request.method) ? await json(request) : {};
  const [status, answer] = route?.({ ...Object.fromEntries(url.searchParams), ...body, id }) ?? [404, { error: 'not here' }];
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
