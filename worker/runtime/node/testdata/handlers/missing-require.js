const left = require('no-such-package')
exports.handler = async () => left
