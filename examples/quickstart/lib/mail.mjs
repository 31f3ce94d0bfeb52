import nodemailer from 'nodemailer';

// By default the sink that netlify.toml starts.
const transport = nodemailer.createTransport(process.env.SMTP_URL ?? 'smtp://127.0.0.1:2525');

// id is the invocation's ID, the same in each of its attempts. When an attempt
// dies after the mail has left, the next one sends it again under the same
// Message-ID, by which mail servers know that it is the same mail.
export function sendMail(id, mail) {
  return transport.sendMail({
    from: 'Quickstart <quickstart@example.com>',
    messageId: `<${id}@quickstart.example.com>`,
    ...mail,
  });
}
