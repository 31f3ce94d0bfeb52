const { builder } = require('@netlify/functions')
exports.handler = builder(async (event) => ({ statusCode: 200, headers: { 'x-built': '1' }, body: JSON.stringify({ path: event.path, query: event.queryStringParameters, multi: event.multiValueQueryStringParameters, rawQuery: event.rawQuery, method: event.httpMethod }), ttl: 60 }))
