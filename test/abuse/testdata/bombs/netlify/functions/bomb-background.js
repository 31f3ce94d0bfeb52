// Each of these takes something of the machine until there is no more. All that
// they start carries the mark, and all files are named bomb, so that what is left
// of them is found.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { Worker } = require('node:worker_threads')

let mark
const kept = []
const tmp = (name) => path.join(process.env.TMPDIR, 'bomb' + name)
const turn = () => new Promise(setImmediate)
const forever = () => new Promise(() => setInterval(() => {}, 1000))
const run = (program, flag, script, stdio = 'ignore') =>
  spawn(program, [flag, script], { detached: true, stdio, env: { ...process.env, NIGHTSHIFT_BOMB: mark } }).on('error', () => {})
const shell = (script, stdio) => run('/bin/sh', '-c', script, stdio)
const perl = (script) => run('/usr/bin/perl', '-e', script)

// uncaught ends the process with the error: one that only fails is used again.
const uncaught = (work) => {
  setImmediate(work)
  return forever()
}

const bombs = {
  // Processes and threads.
  fork() {
    perl('fork while 1')
    return forever()
  },
  async spawn() {
    for (;;) {
      shell('sleep 300')
      await turn()
    }
  },
  zombies() {
    // More than the limit by themselves, less than what the kernel lets them be.
    perl('for (1..140) { fork or exit } sleep 300')
    return forever()
  },
  stubborn() {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {})
    shell("trap '' TERM INT HUP; (trap '' TERM INT HUP; while :; do sleep 1; done) & while :; do sleep 1; done")
    return forever()
  },

  // Memory.
  heap() {
    for (;;) kept.push(new Array(1e6).fill(kept.length))
  },
  async buffers() {
    for (;;) {
      kept.push(Buffer.alloc(4e6, 1))
      await turn()
    }
  },
  async wasm() {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 })
    for (;;) {
      const from = memory.grow(64) * 65536
      new Uint8Array(memory.buffer).fill(1, from)
      await turn()
    }
  },
  children() {
    for (let i = 0; i < 8; i++) shell('x=$(head -c 60000000 /dev/zero | tr "\\0" x); sleep 300')
    return forever()
  },

  // Output.
  log() {
    for (;;) console.log('x'.repeat(200))
  },
  line() {
    for (;;) process.stdout.write('x'.repeat(60000))
  },
  logOfChild() {
    shell('(while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done) &', 'inherit')
    return forever()
  },

  // Open files.
  files() {
    return uncaught(() => {
      for (;;) kept.push(fs.openSync('/dev/null'))
    })
  },

  // The disk.
  oneFile() {
    return uncaught(() => {
      const f = fs.openSync(tmp(''), 'w')
      for (;;) fs.writeSync(f, Buffer.alloc(1e6, 1))
    })
  },
  async someFiles() {
    for (let i = 0; ; i++) {
      fs.writeFileSync(tmp(i), Buffer.alloc(1e6, 1))
      await turn()
    }
  },
  manyFiles() {
    for (let i = 0; ; i++) fs.writeFileSync(tmp(i), '')
  },
  deepFolders() {
    process.chdir(process.env.TMPDIR)
    for (let i = 0; i < 5000; i++) {
      fs.mkdirSync('bomb')
      process.chdir('bomb')
    }
    return forever()
  },
  async deletedFiles() {
    for (let i = 0; ; i++) {
      const f = fs.openSync(tmp(i), 'w')
      fs.unlinkSync(tmp(i))
      fs.writeSync(f, Buffer.alloc(1e6, 1))
      await turn()
    }
  },

  // The processors.
  cpu() {
    for (let i = 0; i < 4; i++) kept.push(new Worker('for (;;);', { eval: true }))
    for (;;);
  },
}

exports.handler = async (event) => {
  const order = JSON.parse(event.body)
  mark = order.mark
  await bombs[order.bomb]()
}
