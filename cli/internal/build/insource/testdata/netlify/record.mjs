// Records what Netlify's own bundler reads in the sources beside this file.
//
//   node record.mjs <directory with node_modules> > netlify.json
//
// README.md says what to install there. Each source is bundled by itself, as a
// function of a site that has the helper files in sources/lib.
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const installed = resolve(process.argv[2] ?? '.')
const require = createRequire(join(installed, 'package.json'))
const { listFunction, zipFunction } = await import(pathToFileURL(require.resolve('@netlify/zip-it-and-ship-it')))

const site = await mkdtemp(join(tmpdir(), 'record-'))
const directory = join(site, 'netlify/functions')
await cp(join(import.meta.dirname, 'sources'), directory, { recursive: true })
await symlink(join(installed, 'node_modules'), join(site, 'node_modules'))
const out = join(site, 'out')
await mkdir(out)

// said is the first line of an error, without the paths of this machine.
const said = (error) => String(error.message).replaceAll(site + '/', '').split('\n')[0]

const one = async (file) => {
  const path = join(directory, file)
  const row = {}
  try {
    const listed = await listFunction(path, { parseISC: true })
    row.api = listed.runtimeAPIVersion
    row.format = listed.inputModuleFormat
    row.schedule = listed.schedule
    row.routes = listed.routes?.map((route) => route.pattern)
    row.methods = listed.routes?.[0]?.methods
    row.preferStatic = listed.routes?.[0]?.prefer_static
    row.excludedRoutes = listed.excludedRoutes?.map((route) => route.pattern)
  } catch (error) {
    row.error = said(error)
    return row
  }
  try {
    const zipped = await zipFunction(path, out, { basePath: site, archiveFormat: 'none' })
    row.config = zipped.config
    row.invocationMode = zipped.invocationMode
    row.events = zipped.eventSubscriptions
  } catch (error) {
    row.bundleError = said(error)
  }
  return row
}

const rows = {}
for (const entry of (await readdir(directory, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
  if (entry.isFile()) rows[entry.name] = await one(entry.name)
}
await rm(site, { recursive: true })
const lines = Object.entries(rows).map(([file, row]) => `  ${JSON.stringify(file)}: ${JSON.stringify(row)}`)
console.log(`{\n${lines.join(',\n')}\n}`)
