// BullMQ's producer behind Fastify: each POST becomes a job. REDIS and LISTEN are host:port.
import { Queue } from 'bullmq';
import Fastify from 'fastify';

const [redisHost, redisPort] = process.env.REDIS.split(':');
const [host, port] = process.env.LISTEN.split(':');

const queue = new Queue('functions', {
  connection: { host: redisHost, port: Number(redisPort) },
  // As often as a background function is tried, and no record of what went well.
  defaultJobOptions: { attempts: 3, backoff: { type: 'exponential', delay: 1000 }, removeOnComplete: true },
});

const app = Fastify();
app.get('/ready', async () => 'ready');
app.post('/.netlify/functions/:name', async (request, reply) => {
  const job = await queue.add(request.params.name, request.body);
  reply.code(202);
  return { id: job.id };
});
await app.listen({ host, port: Number(port) });
