const { typed } = require('../../lib/typed')
exports.handler = async () => ({ statusCode: 200, body: typed(1) })
