'use strict'
// The bootstrap of a function's Node process.
//
// It starts as a spare without a function, waits for its assignment, loads the
// function and then takes one invocation after the other. Whatever goes wrong
// in user code is reported with the user's own stack; after anything but a
// plain rejection the process ends, so that nothing half-broken is reused.

const { install: installAwslambda } = require('./awslambda.cjs')
const { Client } = require('./client.cjs')
const { install: installNetlify } = require('./context.cjs')
const { Fault, describe, print } = require('./errors.cjs')
const { Promise, exit, parse, process, setImmediate } = require('./intrinsics.cjs')
const { load } = require('./load.cjs')
const { Reply } = require('./reply.cjs')
const { enterTrace } = require('./trace.cjs')
const { warm } = require('./warm.cjs')

const client = new Client(process.env.AWS_LAMBDA_RUNTIME_API)
let root = ''
let loading = false
let collapsing = false
let running = null // the invocation under way: {id, attempt, deadline, arn, clientContext, event, reply, context, onStall}

// Written synchronously, output is complete before the response goes out, no
// process.exit can lose some, and a flood waits instead of filling memory.
for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true)

// Functions are not to find us as the program that they belong to.
process.mainModule = undefined

process.setSourceMapsEnabled(true)
installAwslambda()
installNetlify(() => running?.context)

process.on('uncaughtException', (error) => void collapse(error, 129))
process.on('unhandledRejection', (reason) => void collapse(reason, 128))
process.on('beforeExit', stalled)
process.on('exit', () => client.flush())

void main()

async function main() {
  if (process.argv[2] === 'spare') await warm()
  const assignment = await client.assignment()
  Object.assign(process.env, assignment.env)
  root = assignment.dir
  client.awaited = assignment.awaited === true
  const call = await loadFunction(assignment)
  for (;;) {
    const invocation = await client.next()
    await serve(call, invocation)
  }
}

async function loadFunction(assignment) {
  loading = true
  try {
    const call = await load(assignment)
    loading = false
    return call
  } catch (error) {
    await collapse(error, 1)
  }
}

// serve runs one invocation. It never rejects.
async function serve(call, invocation) {
  const reply = (invocation.reply = new Reply(client, invocation.id))
  running = invocation
  try {
    const event = parse(invocation.event)
    enterTrace(event, invocation)
    invocation.event = null // the handler's copy is enough
    await call(event, invocation, reply)
  } catch (error) {
    await report(error, reply)
  }
  await turn()
  if (collapsing) await new Promise(() => {}) // the process is about to end; take no more work
  running = null
}

// turn lets fail what the function has left for this moment, a rejection that
// nobody handles for example: once more work is asked for, it is too late.
function turn() {
  return new Promise((resolve) => setImmediate(resolve))
}

async function report(error, reply) {
  const description = describe(error, root)
  print(description)
  await reply.fail(description)
}

// collapse reports an error that no handler caught and ends the process.
async function collapse(error, code) {
  if (collapsing) return
  collapsing = true
  const description = describe(error, root)
  print(description)
  try {
    if (loading) await client.failInit(description)
    else if (running) await running.reply.fail(description)
  } catch {
    // The worker sees the exit.
  }
  exit(code)
}

// stalled is called when the event loop is empty: nothing that still waits can
// ever go on. Without this Node would end the process with exit code 13.
function stalled() {
  if (collapsing) return
  if (loading) {
    void collapse(new Fault('Runtime.Stalled', "the module's top-level await can never settle: nothing is left that could resolve it"), 1)
    return
  }
  if (!running) return
  try {
    if (!running.onStall) {
      throw new Fault('Runtime.Stalled', "the function's promise can never settle: nothing is left that could resolve it")
    }
    const onStall = running.onStall
    running.onStall = null
    onStall()
  } catch (error) {
    void collapse(error, 1)
  }
}
