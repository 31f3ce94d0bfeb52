// Makes a PDF and mails it. jsPDF needs no files beside its code, so it bundles.
import { jsPDF } from 'jspdf';
import { sendMail } from '../../lib/mail.mjs';

type Order = { to: string; title?: string; lines?: string[] };

export default async (request: Request, context: { requestId: string }): Promise<Response> => {
  const { to, title = 'Report', lines = ['Nothing to report.'] }: Order = await request.json();
  const pdf = new jsPDF();
  pdf.setFontSize(24).text(title, 20, 30).setFontSize(11).text(lines, 20, 45);
  const content = Buffer.from(pdf.output('arraybuffer'));
  console.log(`made ${title}: ${content.length} bytes`);
  await sendMail(context.requestId, { to, subject: title, attachments: [{ filename: 'report.pdf', content }] });
  return Response.json({ bytes: content.length });
};
