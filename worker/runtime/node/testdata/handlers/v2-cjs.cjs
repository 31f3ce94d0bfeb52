Object.defineProperty(exports, '__esModule', { value: true })
exports.default = async () => new Response('from CommonJS')
