'use strict'
// For a Node whose heap is given a limit by an argument.
//
// Node brings its own modules along as compiled code, which V8 takes only while its
// flags are those that it was made with; else each module that is used is compiled
// again, which takes longer than all that we do. The limit is read when the heap is
// made, so that by now the flag can have its usual value again, and the heap keeps
// its limit.

if (process.execArgv.some((arg) => arg.startsWith('--max-old-space-size='))) setFlags('--max-old-space-size=0')

function setFlags(flags) {
  const before = process.noDeprecation
  try {
    // node:v8 does the same with this, but is itself a module to be compiled, with others.
    process.noDeprecation = true
    process.binding('v8').setFlagsFromString(flags)
  } catch {
    require('node:v8').setFlagsFromString(flags)
  } finally {
    process.noDeprecation = before
  }
}
