// Makes thumbnails of an uploaded image, in the widths that are asked for.
// STORE_URL is an object store with /originals and /thumbnails.
import { parse } from 'node:path';
import { Jimp } from 'jimp';

export default async (request) => {
  const { image = '', widths = [320, 64] } = await request.json();
  const store = Netlify.env.get('STORE_URL');
  const original = await fetch(`${store}/originals/${encodeURIComponent(image)}`);
  if (original.status === 404) return Response.json({ error: `there is no image "${image}"` }, { status: 404 });
  if (!original.ok) throw new Error(`the store answered ${original.status}`);

  const bytes = Buffer.from(await original.arrayBuffer());
  const picture = await Jimp.read(bytes).catch((error) => console.error(`${image}: ${error.message}`));
  // The same bytes would fail again, so it is an answer and not an error.
  if (!picture) return Response.json({ error: `"${image}" is no image that can be read` }, { status: 422 });

  const made = [];
  for (const width of widths) {
    const thumbnail = picture.clone().resize({ w: width });
    const name = `${parse(image).name}-${width}.png`;
    // The name says what is in it: a second attempt writes the same bytes again.
    await put(`${store}/thumbnails/${encodeURIComponent(name)}`, await thumbnail.getBuffer('image/png'));
    made.push({ name, width: thumbnail.width, height: thumbnail.height });
    console.log(`${name}: ${thumbnail.width} × ${thumbnail.height}`);
  }
  return Response.json(made);
};

async function put(url, body) {
  const response = await fetch(url, { method: 'PUT', headers: { 'content-type': 'image/png' }, body });
  if (!response.ok) throw new Error(`the store answered ${response.status} to ${url}`);
}

// Images take memory: two at once on all workers together, the others wait.
export const config = { concurrency: 2, timeout: 300, retries: 3, retryDelays: [5, 60] };
