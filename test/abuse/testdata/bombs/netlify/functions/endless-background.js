// The bombs that only their time ends; it is shorter for this function.
exports.handler = require('./bomb-background.js').handler
