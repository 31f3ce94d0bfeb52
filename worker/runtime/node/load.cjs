'use strict'
// Loading the user's code.

const Module = require('node:module')
const path = require('node:path')
const { pathToFileURL } = require('node:url')
const { Fault, locate } = require('./errors.cjs')
const { process } = require('./intrinsics.cjs')
const { invokeV1 } = require('./v1.cjs')
const { invokeV2, keepFetch } = require('./v2.cjs')

// load loads the function's file, CommonJS or ES module, and returns how to call
// it: (event, invocation, reply) => Promise.
//
// What can only be CommonJS is loaded as import() would load it, but without import():
// the first one of a process takes Node 5 ms or more. importModule is import(), see
// start.cjs.
async function load({ dir, entry, api, env }) {
  process.chdir(dir)
  if (api === 2) keepFetch()
  const file = path.join(dir, entry)
  let exports
  try {
    exports = entry.endsWith('.cjs') ? { default: Module._load(file) } : await importModule(pathToFileURL(file).href)
  } catch (error) {
    throw await locate(error, file)
  }
  return api === 2 ? findV2(exports, entry, env) : findV1(exports, entry, env)
}

function findV1(exports, entry, env) {
  const handler = exports.handler ?? exports.default?.handler
  if (typeof handler !== 'function') {
    throw new Fault('Runtime.HandlerNotFound', `${entry} must export a function named "handler"`)
  }
  return (event, invocation, reply) => invokeV1(handler, event, invocation, env, reply)
}

function findV2(exports, entry, env) {
  let target = exports.default
  // The default export of a CommonJS module, as bundlers write it.
  if (typeof target !== 'function' && target?.default !== undefined) target = target.default
  const handler = typeof target === 'function' ? target : target?.fetch?.bind(target)
  if (typeof handler !== 'function') {
    throw new Fault('Runtime.HandlerNotFound', `${entry} must export a function, or an object with a fetch method, as its default`)
  }
  return (event, invocation, reply) => invokeV2(handler, event, invocation, env, reply)
}

module.exports = { load }
