// On the first of each month, has an invoice made for everybody who ordered in the
// month before. It only hands out the work: a background call for each customer.
import { ordersOf } from '../../lib/shop';

export default async (request: Request): Promise<Response> => {
  const { next_run } = (await request.json()) as { next_run: string };
  const month = monthToInvoice(next_run);
  const customers = [...new Set((await ordersOf(month)).map((order) => order.customer))];
  for (const customer of customers) await startInvoice(month, customer);
  console.log(`${month}: ${customers.length} invoices started`);
  return Response.json({ month, customers });
};

// monthToInvoice tells the month by the tick and not by today's date, so that a run
// that is late, or is made up for, is of its own month. next_run is the tick
// after this one, and this one is in the month after the one that it is about.
function monthToInvoice(nextRun: string): string {
  const next = new Date(nextRun);
  return new Date(Date.UTC(next.getUTCFullYear(), next.getUTCMonth() - 2)).toISOString().slice(0, 7);
}

async function startInvoice(month: string, customer: string) {
  const answer = await fetch(`${process.env.URL}/.netlify/functions/invoice-background`, {
    method: 'POST',
    // The key names the work. A second attempt, or a second run, starts nothing twice.
    headers: { 'content-type': 'application/json', 'idempotency-key': `invoice-${month}-${customer}` },
    body: JSON.stringify({ month, customer }),
  });
  if (answer.status !== 202) throw new Error(`invoice-background answered ${answer.status}`);
}

// Seconds. A month in which nobody could fire it is made up for: catchUp.
export const config = { schedule: '0 6 1 * *', timezone: 'Europe/Berlin', catchUp: 'all', retries: 5, retryDelays: [10, 300] };
