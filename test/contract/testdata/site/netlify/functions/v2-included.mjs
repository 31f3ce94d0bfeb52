import { readFile } from 'node:fs/promises'
export default async () => new Response(await readFile(new URL('../../data/note.txt', import.meta.url), 'utf8').catch((e) => e.code))
