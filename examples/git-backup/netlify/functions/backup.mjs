// Commits the shop's data to a Git repository each night. SHOP_URL is where the
// shop's API is, BACKUP_REPOSITORY the repository's URL, and BACKUP_TOKEN a token
// that may push to it.
import fs from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import git from 'isomorphic-git';
import http from 'isomorphic-git/http/node';

const tables = ['customers', 'orders'];
const branch = 'main'; // named everywhere, because a new repository has none yet
const author = { name: 'Nightly backup', email: 'backup@example.com' };

export default async (request, context) => {
  const dir = await mkdtemp(join(tmpdir(), 'backup-'));
  try {
    const repository = { fs, http, dir, url: Netlify.env.get('BACKUP_REPOSITORY'), onAuth, onAuthFailure };
    await git.clone({ ...repository, ref: branch, singleBranch: true, depth: 1 });
    for (const table of tables) {
      await writeFile(join(dir, `${table}.json`), await dump(table));
      await git.add({ fs, dir, filepath: `${table}.json` });
    }
    // So an attempt after one that died behind its push finds nothing to do.
    const changed = (await git.statusMatrix({ fs, dir })).filter(([, head, , stage]) => head !== stage).map(([file]) => file);
    if (changed.length === 0) return done('nothing has changed');
    const commit = await git.commit({ fs, dir, author, ref: `refs/heads/${branch}`, message: `Back up ${changed.join(' and ')}\n\nRun: ${context.requestId}\n` });
    // Refused if somebody pushed meanwhile; the next attempt begins with what they pushed.
    await git.push({ ...repository, ref: branch, remoteRef: branch });
    return done(`pushed ${commit.slice(0, 10)}: ${changed.join(', ')}`);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};

// Sorted, and one value on a line, so that a diff shows what has changed and no more.
async function dump(table) {
  const answer = await fetch(`${Netlify.env.get('SHOP_URL')}/export/${table}`, { signal: AbortSignal.timeout(60_000) });
  if (!answer.ok) throw new Error(`the shop answered ${answer.status} for ${table}`);
  const rows = await answer.json();
  return `${JSON.stringify(rows.sort((a, b) => a.id - b.id), null, 2)}\n`;
}

const onAuth = () => ({ username: 'backup', password: Netlify.env.get('BACKUP_TOKEN') });
const onAuthFailure = () => ({ cancel: true }); // instead of asking again

function done(message) {
  console.log(message);
  return new Response(`${message}\n`);
}

// At three on the wall's clock, once also when clocks are set. Two at once would
// push against each other.
export const config = { schedule: '0 3 * * *', timezone: 'Europe/Berlin', overlap: 'skip', timeout: 300, retryDelays: [10, 300] };
