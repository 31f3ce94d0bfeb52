// Takes every mail and keeps it as a file that mail programs open. Nothing is
// ever sent on. MAIL_SINK_HOST and MAIL_SINK_PORT are where it listens, 127.0.0.1
// and 2525 by default, and MAIL_SINK_DIR is the folder, .nightshift/mail by default.
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { SMTPServer } from 'smtp-server';

const folder = process.env.MAIL_SINK_DIR
  ? pathToFileURL(`${process.env.MAIL_SINK_DIR}/`)
  : new URL('.nightshift/mail/', import.meta.url);
const host = process.env.MAIL_SINK_HOST ?? '127.0.0.1';
const port = Number(process.env.MAIL_SINK_PORT ?? 2525);
await mkdir(folder, { recursive: true });

const server = new SMTPServer({
  disabledCommands: ['AUTH', 'STARTTLS'], // there is no account and nothing to hide on loopback
  onData(stream, session, done) {
    keep(stream, session).then(() => done(), done);
  },
});

async function keep(stream, session) {
  const mail = await buffer(stream);
  // A mail that is sent twice has the same Message-ID and replaces itself.
  const id = /^message-id:\s*<([^>@]+)/im.exec(mail.toString('latin1'))?.[1] ?? session.id;
  const file = new URL(`${id.replace(/[^\w-]/g, '_')}.eml`, folder);
  // Written aside first: whoever watches the folder never sees half a mail.
  await writeFile(new URL(`${file.href}.part`), mail);
  await rename(new URL(`${file.href}.part`), file);
  console.log(`mail for ${session.envelope.rcptTo.map((to) => to.address).join(', ')}: ${file.pathname}`);
}

server.on('error', (error) => {
  console.error(`mail sink: ${error.message}`);
  // A failed connection is the client's matter, a port that cannot be had is ours.
  if (error.syscall === 'listen') process.exit(1);
});
server.listen(port, host, () => console.log(`mail sink listens on ${host}:${port}`));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(0));
