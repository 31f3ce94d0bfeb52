// Stands for your CRM: an upload to import, and an API that takes contacts. The
// third batch finds it restarting, once. PORT is where it listens, 4000 by default.
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';

const rows = Array.from({ length: 252 }, (_, i) => `Contact ${i + 1},contact${i + 1}@example.com`);
rows[40] = 'Contact 41,';
rows[140] = 'Contact 141,not an address';
const csv = ['name,email', ...rows].join('\n');

const contacts = [];
const seen = new Set();
let restarting = true;

const routes = {
  'GET /uploads/contacts.csv': () => ({ type: 'text/csv', body: csv }),
  'GET /contacts': () => ({ body: contacts }),
  async 'POST /contacts'(request) {
    const batch = await json(request);
    if (contacts.length === 200 && restarting) {
      restarting = false;
      return { status: 503, body: 'restarting\n', type: 'text/plain' };
    }
    const key = request.headers['idempotency-key'];
    if (!seen.has(key)) contacts.push(...batch);
    seen.add(key);
    return { status: 201, body: { contacts: contacts.length } };
  },
};

createServer(async (request, response) => {
  const route = routes[`${request.method} ${request.url}`] ?? (() => ({ status: 404, body: 'not here\n', type: 'text/plain' }));
  const { status = 200, type = 'application/json', body } = await route(request);
  console.log(`CRM: ${request.method} ${request.url} ${status}`);
  response.writeHead(status, { 'content-type': type }).end(type === 'application/json' ? JSON.stringify(body) : body);
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
