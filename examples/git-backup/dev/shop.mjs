// Stands for your shop's API, and for the host of your Git repository, which is
// kept in DATA_DIR, by default .nightshift. PORT is where it listens, 4000 by default.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { buffer, json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const root = process.env.DATA_DIR ?? fileURLToPath(new URL('../.nightshift', import.meta.url));
const repository = join(root, 'backup.git');
if (!existsSync(repository)) execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', repository]);

const tables = {
  customers: [
    { id: 2, name: 'Ben' },
    { id: 1, name: 'Ada' },
  ],
  orders: [{ id: 1, customer: 1, cents: 2450 }],
};

createServer(async (request, response) => {
  const { pathname, search } = new URL(request.url, 'http://shop');
  const table = tables[pathname.replace('/export/', '')];
  if (pathname.startsWith('/backup.git/')) return serveGit(request, response, pathname, search.slice(1));
  if (request.method === 'POST' && pathname === '/orders') {
    tables.orders.push({ id: tables.orders.length + 1, ...(await json(request)) });
    return response.writeHead(201).end();
  }
  response.writeHead(table ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(table));
}).listen(process.env.PORT ?? 4000, '127.0.0.1');

// Git brings a CGI program that speaks its protocol.
async function serveGit(request, response, path, query) {
  if (request.headers.authorization !== `Basic ${btoa('backup:dev-token')}`) {
    return response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
  }
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_USER: 'backup', // who has a name may push
      REQUEST_METHOD: request.method,
      PATH_INFO: path,
      QUERY_STRING: query,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
    },
  });
  request.pipe(backend.stdin);
  const answer = await buffer(backend.stdout);
  const end = answer.indexOf('\r\n\r\n');
  const headers = new Headers(answer.toString('latin1', 0, end).split('\r\n').map((line) => line.split(': ', 2)));
  response.writeHead(parseInt(headers.get('status') ?? '200'), Object.fromEntries(headers)).end(answer.subarray(end + 4));
}
