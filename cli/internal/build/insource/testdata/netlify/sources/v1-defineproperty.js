Object.defineProperty(exports, 'handler', { value: async () => ({ statusCode: 200 }) })
