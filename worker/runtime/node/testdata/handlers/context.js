exports.handler = async (event, context) => {
  const left = context.getRemainingTimeInMillis()
  return { statusCode: 200, body: JSON.stringify({ keys: Object.keys(context).sort(), id: context.awsRequestId, attempt: context.attempt, name: context.functionName, left: left > 0 && left <= 30000, waits: context.callbackWaitsForEmptyEventLoop, identity: context.identity, client: context.clientContext }) }
}
