// Takes every mail on 127.0.0.1, keeps it as a file in .nightshift/mail, and sends
// nothing on. Like many mail servers it turns an address away when it sees it for
// the first time. SMTP_PORT is where it listens, 2525 by default.
import { mkdir, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';

const folder = new URL('../.nightshift/mail/', import.meta.url);
const known = new Set();

async function keep(stream, session) {
  const mail = await buffer(stream);
  const id = /^message-id:\s*<([^>@]+)/im.exec(mail.toString('latin1'))?.[1] ?? session.id;
  const file = new URL(`${id.replace(/[^\w-]/g, '_')}.eml`, folder);
  await mkdir(folder, { recursive: true });
  await writeFile(file, mail);
  console.log(`mail for ${session.envelope.rcptTo.map((to) => to.address).join(', ')}: ${file.pathname}`);
}

new SMTPServer({
  disabledCommands: ['AUTH', 'STARTTLS'], // there is no account and nothing to hide on loopback
  onRcptTo({ address }, session, done) {
    const first = !known.has(address);
    known.add(address);
    done(first ? Object.assign(new Error('greylisted, try again later'), { responseCode: 451 }) : null);
  },
  onData(stream, session, done) {
    keep(stream, session).then(() => done(), done);
  },
})
  .on('error', (error) => console.error(`mail sink: ${error.message}`))
  .listen(process.env.SMTP_PORT ?? 2525, '127.0.0.1');
