exports.handler = (event, context) => context.succeed({ statusCode: 200, body: 'succeeded' })
