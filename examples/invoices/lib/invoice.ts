import { PDFDocument, StandardFonts, type PDFPage } from 'pdf-lib';
import type { Customer, Order } from './shop';

const money = (cents: number) => (cents / 100).toFixed(2);

// drawInvoice makes the PDF, and tells the sum that it asks for, in cents. Prices
// are net; the tax is rounded once, on the sum.
export async function drawInvoice(number: string, customer: Customer, orders: Order[]): Promise<{ pdf: Buffer; total: number }> {
  const pdf = await PDFDocument.create();
  const font = await pdf.embedFont(StandardFonts.Helvetica);
  let page: PDFPage;
  let y = 0;
  const line = (text: string, amount = '', size = 12) => {
    if (y < 60) [page, y] = [pdf.addPage([595, 842]), 780]; // A4
    const name = text.replace(/[^ -~¡-ÿ]/g, '?'); // the built-in fonts have no other letters
    page.drawText(name, { x: 60, y, font, size });
    page.drawText(amount, { x: 535 - font.widthOfTextAtSize(amount, size), y, font, size });
    y -= size * 1.6;
  };
  const net = orders.reduce((sum, order) => sum + order.cents, 0);
  const tax = Math.round(net * 0.19);
  line(`Invoice ${number}`, '', 20);
  line(`To ${customer.name}`);
  for (const order of orders) line(order.product, money(order.cents));
  line('Net', money(net));
  line('VAT 19 %', money(tax));
  line('Total EUR', money(net + tax));
  return { pdf: Buffer.from(await pdf.save()), total: net + tax };
}
