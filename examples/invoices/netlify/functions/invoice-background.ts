// Makes one customer's invoice of one month and mails it, once: the shop remembers
// by its number that it was sent. SMTP_URL is where mail goes.
import nodemailer from 'nodemailer';
import { drawInvoice } from '../../lib/invoice';
import { findInvoice, keepInvoice, ordersOf, customerOf } from '../../lib/shop';

export default async (request: Request): Promise<Response> => {
  const { month, customer: id } = (await request.json()) as { month: string; customer: string };
  const number = `${month}-${id}`; // the same whoever asks, and however often
  if (await findInvoice(number)) return Response.json({ number, sent: 'before' });

  const customer = await customerOf(id);
  const orders = (await ordersOf(month)).filter((order) => order.customer === id);
  const { pdf, total } = await drawInvoice(number, customer, orders);
  await nodemailer.createTransport(process.env.SMTP_URL).sendMail({
    from: 'Shop <billing@example.com>',
    to: customer.email,
    subject: `Invoice ${number}`,
    text: `Dear ${customer.name},\n\nyour invoice is attached.\n`,
    messageId: `<${number}@invoices.example.com>`, // so that a repeated one is seen to be the same
    attachments: [{ filename: `${number}.pdf`, content: pdf, contentType: 'application/pdf' }],
  });
  await keepInvoice(number, { customer: id, month, total });
  console.log(`sent invoice ${number} over ${total} cents`);
  return Response.json({ number, total });
};

// Four at once are enough for the mail server. Seconds between attempts.
export const config = { concurrency: 4, retries: 5, retryDelays: [2, 60, 600] };
