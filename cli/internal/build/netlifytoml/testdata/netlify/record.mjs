// Records what Netlify's own packages make of the netlify.toml files beside
// this file, in three contexts each.
//
//	node record.mjs <directory with node_modules> > netlify.json
//
// README.md says what to install there.
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const installed = resolve(process.argv[2] ?? '.')
const require = createRequire(join(installed, 'package.json'))
const { resolveConfig } = await import(pathToFileURL(require.resolve('@netlify/config')))
const zisi = dirname(require.resolve('@netlify/zip-it-and-ship-it'))
const { getConfigForFunction } = await import(pathToFileURL(join(zisi, 'config.js')))

const names = ['send-mail', 'send-report', 'a-background', 'job', 'schedule']
const contexts = { production: 'main', 'branch-deploy': 'feat/mail', dev: 'main' }

const site = await mkdtemp(join(tmpdir(), 'record-'))
for (const directory of ['site/netlify/functions', 'own/inner', 'netlify/functions']) {
  await mkdir(join(site, directory), { recursive: true })
}
await writeFile(join(site, 'own/netlify.toml'), '[functions]\ndirectory = "inner"\n')

// said is an error without colours, example and the paths of this machine.
const said = (error) =>
  error.message.replace(/\u001b\[\d+m/g, '').split('\n').slice(1).join('\n').split('\n\n')[0].replaceAll(site, '<site>').trim()

const read = async (context, branch) => {
  const { config, buildDir } = await resolveConfig({ cwd: site, repositoryRoot: site, context, branch, offline: true, mode: 'require' })
  // As @netlify/build hands it on.
  const forZisi = Object.fromEntries(
    Object.entries(config.functions).map(([expression, of]) => [
      expression,
      {
        externalNodeModules: of.external_node_modules,
        ignoredNodeModules: of.ignored_node_modules,
        includedFiles: of.included_files,
        memory: of.memory,
        nodeBundler: of.node_bundler,
        schedule: of.schedule,
        vcpu: of.vcpu,
      },
    ]),
  )
  const functions = {}
  for (const name of names) functions[name] = await getConfigForFunction({ config: forZisi, func: { name } })
  return {
    base: relative(site, buildDir),
    directory: config.functionsDirectory && relative(site, config.functionsDirectory),
    functions: Object.fromEntries(Object.entries(functions).filter(([, of]) => Object.keys(of).length > 0)),
  }
}

const lines = []
for (const file of (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.toml')).sort()) {
  await copyFile(join(import.meta.dirname, file), join(site, 'netlify.toml'))
  const row = {}
  for (const [context, branch] of Object.entries(contexts)) {
    try {
      row[context] = await read(context, branch)
    } catch (error) {
      row[context] = { error: said(error) }
    }
  }
  lines.push(`  ${JSON.stringify(file)}: ${JSON.stringify(row)}`)
}
await rm(site, { recursive: true })
console.log(`{\n${lines.join(',\n')}\n}`)
