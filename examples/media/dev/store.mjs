// Stands for your object store, with one image in it, and for the program that is
// told when thumbnails are made. PORT is where it listens, 4000 by default;
// CALLBACK_SECRET is the one of the installation, by default that of nightshift dev.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { buffer, text } from 'node:stream/consumers';
import { Jimp, rgbaToInt } from 'jimp';
import { Webhook } from 'standardwebhooks';

const objects = new Map();
const picture = new Jimp({ width: 640, height: 480 });
picture.scan((x, y) => picture.setPixelColor(rgbaToInt(Math.round((x / 639) * 255), Math.round((y / 479) * 255), 128, 255), x, y));
objects.set('/originals/harbour.png', await picture.getBuffer('image/png'));

const secret = async () =>
  process.env.CALLBACK_SECRET ?? (await readFile(new URL('../.nightshift/callback.secret', import.meta.url), 'utf8')).trim();

// Nothing in a callback is believed before its signature is verified.
async function finished(request) {
  const body = await text(request);
  const { data } = new Webhook(await secret()).verify(body, request.headers);
  objects.set('/finished', Buffer.from(`${data.function} ${data.id}: ${data.state} ${data.result.body}\n`));
}

async function answer(request) {
  if (request.method === 'POST' && request.url === '/finished') await finished(request);
  else if (request.method === 'PUT') objects.set(request.url, await buffer(request));
  else return objects.get(request.url);
  return Buffer.alloc(0);
}

createServer(async (request, response) => {
  let status = 200;
  const body = await answer(request).catch((error) => void console.error(`store: ${error.message}`, (status = 400)));
  if (!body && status === 200) status = 404;
  console.log(`store: ${request.method} ${request.url} ${status}`);
  response.writeHead(status).end(body);
}).listen(process.env.PORT ?? 4000, '127.0.0.1');
