// What the bootstrap itself uses of the globals, kept from before user code runs.
//
// Functions replace globals: with polyfills, with fakes for time, by mistake.
// Whatever that does to their own code, a call must still be taken, answered
// and reported. What costs time to load, fetch and its classes, v2.mjs keeps
// when a function needs it.

import { Buffer } from 'node:buffer'
import process from 'node:process'
import { URL } from 'node:url'

export { Buffer, URL, process }
export const { Error, Promise, TypeError, setImmediate } = globalThis
export const { parse, stringify } = JSON
export const { now } = Date
export const exit = process.exit.bind(process)
export const complain = process.stderr.write.bind(process.stderr)
