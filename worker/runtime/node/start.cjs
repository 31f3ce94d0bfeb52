'use strict'
// What Node is started with, behind heap.cjs: it runs the bootstrap itself, which is
// one file beside this one, as compiled code if there is some. To compile it takes
// 2 ms of the first call that has to wait for a process.
//
// With the argument "compile" it makes the compiled code, of all functions, those
// included that V8 would compile when they are called. V8 takes it only in the
// version and with the flags that it was made with, and else compiles as usual.

const fs = require('node:fs')
const vm = require('node:vm')

const FILE = __dirname + '/index.cjs'
const COMPILED = __dirname + '/index.cache'

if (process.argv[2] === 'compile') compile()
else start()

function start() {
  let cachedData
  try {
    cachedData = fs.readFileSync(COMPILED)
  } catch {
    // Not there yet, or it could not be made.
  }
  // Code that was compiled ahead cannot import, so that we do for it.
  script({ cachedData }).runInThisContext()(module, require, __dirname, (specifier) => import(specifier))
}

function compile() {
  setFlags('--no-lazy')
  const compiled = script({})
  setFlags('--lazy') // V8 remembers with which flags it was compiled
  fs.writeFileSync(COMPILED + '.new', compiled.createCachedData(), { mode: 0o444 })
  fs.renameSync(COMPILED + '.new', COMPILED)
}

function script(options) {
  const source = `(function (module, require, __dirname, importModule) {${fs.readFileSync(FILE, 'utf8')}\n})`
  return new vm.Script(source, { filename: FILE, ...options })
}
