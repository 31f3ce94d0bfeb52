Object.assign(exports, { handler: async () => ({ statusCode: 200 }) })
