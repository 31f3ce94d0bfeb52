'use strict'
// Errors as the Runtime API wants them: {errorType, errorMessage, stackTrace}.

const { pathToFileURL } = require('node:url')
const { Error, Promise, complain, process, stringify } = require('./intrinsics.cjs')

const OWN_PATH = __dirname + '/'
const OWN = pathToFileURL(OWN_PATH).href // file:///.../
const MAX_CAUSES = 5
// Netlify's own bootstrap, which function bundles made for Netlify contain.
const NETLIFY = '___netlify-bootstrap.mjs'

// Fault is an error of ours: its stack means nothing to the user.
class Fault extends Error {
  constructor(type, message, options) {
    super(message, options)
    this.name = type
    this.ownStack = true
  }
}

// describe turns whatever was thrown into a report. Paths are given relative
// to the task root, and our frames and Node's are left out.
function describe(reason, root = '') {
  if (!isError(reason)) {
    return { errorType: reason === null ? 'null' : typeof reason, errorMessage: show(reason), stackTrace: [] }
  }
  const report = {
    errorType: String(reason.name || 'Error'),
    errorMessage: relative(String(reason.message), root) + hint(reason),
    stackTrace: reason.ownStack ? [] : frames(reason, root),
  }
  let cause = reason.cause
  for (let i = 0; isError(cause) && i < MAX_CAUSES; i++, cause = cause.cause) {
    report.stackTrace.push(`Caused by: ${cause.name}: ${relative(String(cause.message), root)}`, ...frames(cause, root))
  }
  return report
}

// print writes an error to the function's log.
function print(report) {
  const lines = [`${report.errorType}: ${report.errorMessage}`, ...report.stackTrace]
  complain(lines.join('\n') + '\n')
}

// locate adds the place of a syntax error to its stack. Node knows it for
// CommonJS only; for ES modules it tells nobody but its own --check.
async function locate(error, file) {
  if (!(error instanceof SyntaxError) || /^\S*:\d+\n/.test(error.stack)) return error
  const { execFile } = require('node:child_process') // rarely needed, and slow to load
  const env = { PATH: process.env.PATH }
  const stderr = await new Promise((resolve) => execFile(process.execPath, ['--check', file], { env }, (_error, _stdout, text) => resolve(text)))
  const place = /^(\S*:\d+\n[^]*?)\n\n?SyntaxError/.exec(stderr)
  if (place) error.stack = `${place[1]}\n${error.stack}`
  return error
}

// hint helps those whose code, or a package of it, has "/tmp" written into it:
// that folder belongs to all, so nobody gets in.
function hint(error) {
  const own = process.env.TMPDIR
  const path = String(error.path ?? '')
  if (!own || error.code !== 'EACCES' || !/^\/tmp(\/|$)/.test(path) || path.startsWith(own)) return ''
  return ` (a function has a temporary folder of its own, which os.tmpdir() and TMPDIR name: ${own})`
}

function isError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]'
}

function show(value) {
  try {
    return typeof value === 'object' && value !== null ? stringify(value) : String(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}

function frames(error, root) {
  let stack = String(error.stack ?? '')
  const title = /^(?:\w[\w$]*)(?: \[\w+\])?: /.exec(stack)
  const header = `${error.message}`
  const at = header ? stack.indexOf(header) : -1
  if (title && at >= 0 && at <= title[0].length) {
    stack = stack.slice(at + header.length).replace(/^\n/, '') // the report says name and message already
  }
  return relative(stack, root)
    .split('\n')
    .filter((line) => line !== '' && !line.includes(OWN) && !line.includes(OWN_PATH) && !line.includes(NETLIFY) && !/^\s+at .*\(?node:internal\//.test(line))
}

function relative(text, root) {
  if (!root) return text
  return text.replaceAll(`file://${root}/`, '').replaceAll(`${root}/`, '')
}

module.exports = { Fault, describe, print, locate }
