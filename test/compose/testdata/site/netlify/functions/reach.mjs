// What a function gets out of the services that it shares a network with.
import net from 'node:net';

// say sends text to host:port and returns the first of the answer.
const say = (address, text) => new Promise((resolve) => {
  const [host, port] = address.split(':');
  const socket = net.connect({ host, port, timeout: 5000 }, () => socket.write(text));
  socket.on('data', (data) => { socket.destroy(); resolve(String(data).split('\r\n')[0]); });
  socket.on('error', (error) => resolve(error.code));
  socket.on('timeout', () => { socket.destroy(); resolve('timeout'); });
});

export default async (request) => {
  const { redis, workers, control } = await request.json();
  const body = '{}';
  const invoke = [
    'POST /v1/invoke HTTP/1.1', 'Host: worker', `Content-Length: ${body.length}`, 'Nightshift-Invocation: 01JD0000000000000000000000',
    'Nightshift-Site: default', 'Nightshift-Deploy: d1', 'Nightshift-Function: hello', '', body,
  ].join('\r\n');
  return Response.json({
    redis: await say(redis, 'PING\r\n'),
    workers: await Promise.all(workers.map((address) => say(address, invoke))),
    control: await say(control, 'GET /api/v1/sites HTTP/1.1\r\nHost: gateway\r\n\r\n'),
  });
};
