// Makes the report of a month as a PDF and mails it. SHOP_URL is where the shop's
// API is, SMTP_URL where mail goes: smtps://user:password@host.
const nodemailer = require('nodemailer');
const { drawReport } = require('../../lib/report.js');

exports.handler = async (event, context) => {
  const { to, month } = JSON.parse(event.body);
  const answer = await fetch(`${process.env.SHOP_URL}/orders?month=${encodeURIComponent(month)}`);
  if (!answer.ok) throw new Error(`the shop answered ${answer.status}`);
  const orders = await answer.json();
  // Another attempt would find no more than this one.
  if (orders.length === 0) return { statusCode: 404, body: `There are no orders of ${month}.\n` };

  const pdf = await drawReport(`Orders of ${month}`, orders);
  console.log(`made the report of ${month}: ${orders.length} orders, ${pdf.length} bytes`);
  const { messageId } = await nodemailer.createTransport(process.env.SMTP_URL).sendMail({
    from: 'Shop <shop@example.com>',
    to,
    subject: `Orders of ${month}`,
    text: 'The report is attached.\n',
    // One run, one Message-ID: if an attempt dies after the mail has left, mail
    // programs see that the next one sends the same mail.
    messageId: `<${context.awsRequestId}@report.example.com>`,
    attachments: [{ filename: `report-${month}.pdf`, content: pdf, contentType: 'application/pdf' }],
  });
  console.log(`sent ${messageId} to ${to}`);
  return { statusCode: 200, body: `${messageId}\n` };
};
