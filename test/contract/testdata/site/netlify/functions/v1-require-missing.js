require('no-such-package-anywhere')
exports.handler = async () => ({ statusCode: 200 })
