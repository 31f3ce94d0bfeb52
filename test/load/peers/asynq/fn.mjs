// A function as a plain node:http server, one POST a call: what a Go team puts behind its worker. LISTEN is host:port.
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

const [host, port] = process.env.LISTEN.split(':');
const socket = createSocket('udp4');
socket.bind(0, '127.0.0.1');

function handle(body) {
  const { id, t, sink } = JSON.parse(body);
  if (!sink) return;
  const [address, to] = sink.split(':');
  socket.send(`${id} ${t}`, Number(to), address);
}

createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    try {
      if (request.method === 'POST') handle(Buffer.concat(chunks).toString());
      response.end('ok');
    } catch (err) {
      response.writeHead(500).end(String(err));
    }
  });
}).listen(Number(port), host);
