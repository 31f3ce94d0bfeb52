// The shop's API, at SHOP_URL. Whatever it does not answer as it should is thrown:
// the run is tried again.
export interface Order {
  customer: string;
  product: string;
  cents: number;
}

export interface Customer {
  name: string;
  email: string;
}

export interface Invoice {
  customer: string;
  month: string;
  total: number; // cents
}

export const ordersOf = (month: string) => get<Order[]>(`orders?month=${month}`);
export const customerOf = (id: string) => get<Customer>(`customers/${id}`);

export async function findInvoice(number: string): Promise<Invoice | undefined> {
  const answer = await call(`invoices/${number}`);
  return answer.status === 404 ? undefined : ((await whole(answer).json()) as Invoice);
}

export async function keepInvoice(number: string, invoice: Invoice): Promise<void> {
  whole(await call(`invoices/${number}`, { method: 'PUT', body: JSON.stringify(invoice) }));
}

const get = async <T>(path: string) => (await whole(await call(path)).json()) as T;

const call = (path: string, init?: RequestInit) => fetch(`${process.env.SHOP_URL}/${path}`, { ...init, signal: AbortSignal.timeout(30_000) });

function whole(answer: Response): Response {
  if (!answer.ok) throw new Error(`the shop answered ${answer.status} to ${answer.url}`);
  return answer;
}
