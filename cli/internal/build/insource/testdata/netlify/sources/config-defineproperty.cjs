exports.default = async () => new Response('x')
Object.defineProperty(exports, 'config', { value: { schedule: '@daily' } })
