// Loading the user's code.

import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { Fault, locate } from './errors.mjs'
import { process } from './intrinsics.mjs'
import { invokeV1 } from './v1.mjs'
import { invokeV2, keepFetch } from './v2.mjs'

// load imports the function's file, CommonJS or ES module, and returns how to
// call it: (event, invocation, reply) => Promise.
export async function load({ dir, entry, api, env }) {
  process.chdir(dir)
  if (api === 2) keepFetch()
  const file = path.join(dir, entry)
  let exports
  try {
    exports = await import(pathToFileURL(file).href)
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
