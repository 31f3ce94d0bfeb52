// Sends a mail while the caller waits. The second, fetch-like calling convention.
import { sendMail } from '../../lib/mail.mjs';

export default async (request, context) => {
  const { to, subject = 'Hello', text = 'Sent while you waited.' } = await request.json();
  if (!to) return Response.json({ error: 'say whom to write to: {"to":"a@example.com"}' }, { status: 400 });
  const { messageId } = await sendMail(context.requestId, { to, subject, text });
  return Response.json({ sent: messageId });
};
