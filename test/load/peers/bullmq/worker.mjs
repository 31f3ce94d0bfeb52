// BullMQ's worker with the function in its own process. REDIS is host:port, CONCURRENCY how many jobs run at once.
import { createSocket } from 'node:dgram';
import { Worker } from 'bullmq';

const [host, port] = process.env.REDIS.split(':');
const socket = createSocket('udp4');
socket.bind(0, '127.0.0.1');

const worker = new Worker('functions', async ({ data: { id, t, sink } }) => {
  if (!sink) return;
  const [address, to] = sink.split(':');
  socket.send(`${id} ${t}`, Number(to), address);
}, { connection: { host, port: Number(port), maxRetriesPerRequest: null }, concurrency: Number(process.env.CONCURRENCY) });

worker.on('error', (err) => console.error(err.message));
await worker.waitUntilReady();
console.log('ready');
