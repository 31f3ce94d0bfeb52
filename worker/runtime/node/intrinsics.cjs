'use strict'
// What the bootstrap itself uses of the globals, kept from before user code runs.
//
// Functions replace globals: with polyfills, with fakes for time, by mistake.
// Whatever that does to their own code, a call must still be taken, answered
// and reported. What costs time to load, fetch and its classes, v2.cjs keeps
// when a function needs it.
//
// Taken from the global object and not from node:process and the like: an
// import of those evaluates all that they export, stdin for example.

const { Buffer, Error, Promise, RangeError, TypeError, URL, process, setImmediate } = globalThis
const { parse, stringify } = JSON
const { now } = Date
const exit = process.exit.bind(process)
const complain = process.stderr.write.bind(process.stderr)

module.exports = { Buffer, Error, Promise, RangeError, TypeError, URL, process, setImmediate, parse, stringify, now, exit, complain }
