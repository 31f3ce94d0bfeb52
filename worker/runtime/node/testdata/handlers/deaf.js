process.on('SIGTERM', () => console.log('not listening'))
exports.handler = () => new Promise(() => setInterval(() => {}, 1000))
