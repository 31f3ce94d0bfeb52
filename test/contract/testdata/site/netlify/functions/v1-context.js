exports.handler = (event, context) => {
  const answer = { statusCode: 200, body: 'answer' }
  switch (event.queryStringParameters.case) {
    case 'succeed': return void context.succeed(answer)
    case 'done': return void context.done(null, answer)
    case 'done-error': return void context.done(new Error('done with an error'))
    case 'fail': return void context.fail(new Error('failed by context'))
    case 'fail-text': return void context.fail('failed by text')
    case 'fields': return Promise.resolve({
      statusCode: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        functionName: context.functionName, functionVersion: context.functionVersion, memory: context.memoryLimitInMB,
        waits: context.callbackWaitsForEmptyEventLoop, identity: context.identity, identityIn: 'identity' in context,
        clientContext: context.clientContext, idIsString: typeof context.awsRequestId, arn: typeof context.invokedFunctionArn,
        types: Object.fromEntries(Object.keys(context).sort().map((k) => [k, typeof context[k]])),
        frozen: Object.isFrozen(context), sameId: context.awsRequestId === event.headers['x-nf-request-id'],
      }),
    })
  }
}
