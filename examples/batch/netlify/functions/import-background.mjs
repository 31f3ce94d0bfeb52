// Imports an uploaded CSV file of contacts into the CRM, a hundred at a time.
// CRM_URL is where the CRM's API is.
import { Readable, pipeline } from 'node:stream';
import { parse } from 'csv-parse';

const batchSize = 100;

export default async (request, context) => {
  const { file = '' } = await request.json();
  const crm = Netlify.env.get('CRM_URL');
  const upload = await fetch(`${crm}/uploads/${encodeURIComponent(file)}`);
  // What another attempt cannot heal is answered; what it may heal is thrown.
  if (upload.status === 404) return Response.json({ error: `there is no upload "${file}"` }, { status: 404 });
  if (!upload.ok) throw new Error(`the upload answered ${upload.status}`);

  const rows = parse({ columns: true, skip_empty_lines: true, bom: true, info: true });
  pipeline(Readable.fromWeb(upload.body), rows, () => {}); // an error of either ends the loop below

  const rejected = [];
  let imported = 0;
  let batch = [];
  const flush = async () => {
    if (batch.length === 0) return;
    // The same key in each attempt: what the CRM has already, it does not take twice.
    await send(crm, batch, `${context.requestId}-${imported}`);
    imported += batch.length;
    batch = [];
    console.log(`imported ${imported}, rejected ${rejected.length}`);
  };
  for await (const { record, info } of rows) {
    if (/^\S+@\S+\.\S+$/.test(record.email)) batch.push(record);
    else rejected.push({ line: info.lines, reason: `no address: "${record.email}"` });
    if (batch.length === batchSize) await flush();
  }
  await flush();
  return Response.json({ imported, rejected });
};

async function send(crm, batch, key) {
  const response = await fetch(`${crm}/contacts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(batch),
    signal: AbortSignal.timeout(30_000),
  });
  if (!response.ok) throw new Error(`the CRM answered ${response.status} to ${batch.length} contacts`);
}

// Five more attempts: after 2 s, 30 s, and then every five minutes.
export const config = { retries: 5, retryDelays: [2, 30, 300] };
