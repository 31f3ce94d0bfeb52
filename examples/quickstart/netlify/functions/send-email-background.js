// Sends a mail after the caller has gone: the name ends in -background.
// The first, Lambda-like calling convention.
import { sendMail } from '../../lib/mail.mjs';

export const handler = async (event, context) => {
  const { to, subject = 'Hello', text = 'Sent on the night shift.' } = JSON.parse(event.body);
  // The request ID makes a repeated attempt harmless, see lib/mail.mjs.
  const { messageId } = await sendMail(context.awsRequestId, { to, subject, text });
  console.log(`sent ${messageId} to ${to}`);
  return { statusCode: 200, body: messageId };
};
