import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// The folder of the function's code is not for writing. The temporary folder is
// shared by the functions of one machine; with several workers this file would
// be a row in the site's database.
const folder = join(tmpdir(), 'nightshift-quickstart');
const file = join(folder, 'figure.json');

export async function writeFigure(figure) {
  await mkdir(folder, { recursive: true });
  await writeFile(`${file}.part`, JSON.stringify(figure));
  await rename(`${file}.part`, file); // so that nobody reads half a file
}

export const readFigure = async () => JSON.parse(await readFile(file, 'utf8'));
