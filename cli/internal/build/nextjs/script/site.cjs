// Asks the site's own copy of Next two things, and writes the answer as JSON to
// file descriptor 3:
//
//	config ROOT            what of its configuration says where things are
//	trace  ROOT MODULE...  all files that modules of Next need, by the tracer that Next has for it

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')

const [question, root, ...modules] = process.argv.slice(2)
const ofSite = createRequire(path.join(root, 'package.json'))
const ofNext = createRequire(ofSite.resolve('next/package.json'))

async function config() {
  const load = ofNext('next/dist/server/config').default
  const { PHASE_PRODUCTION_BUILD } = ofNext('next/dist/shared/lib/constants')
  const { distDir, pageExtensions, basePath } = await load(PHASE_PRODUCTION_BUILD, root)
  // From 15.4 on, route handlers are compiled with all that serves them.
  const template = fs.readFileSync(ofNext.resolve('next/dist/build/templates/app-route'), 'utf8')
  return { distDir, pageExtensions, basePath, wholeHandlers: /\bhandler: function/.test(template) }
}

async function trace() {
  const { nodeFileTrace } = ofNext('next/dist/compiled/@vercel/nft')
  const files = modules.map((name) => ofNext.resolve(name))
  const { fileList } = await nodeFileTrace(files, { base: '/', processCwd: root })
  // The tracer names the real places of what it starts from. Where packages are
  // links, the links are needed too: by them the adapter finds the packages.
  const links = [manifestOf(ofSite, 'next'), ...modules.map((name) => manifestOf(ofNext, name))]
  return { files: [...[...fileList].map((file) => path.join('/', file)), ...links].sort() }
}

// manifestOf is the package.json of a module's package, by the way that it is found.
function manifestOf(require, name) {
  const [scope, rest] = name.split('/')
  const file = path.join(scope.startsWith('@') ? path.join(scope, rest) : scope, 'package.json')
  const dir = require.resolve.paths(name).find((dir) => fs.existsSync(path.join(dir, file)))
  return path.join(dir, file)
}

Promise.resolve(question === 'config' ? config() : trace()).then((answer) => fs.writeSync(3, JSON.stringify(answer)))
