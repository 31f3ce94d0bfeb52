exports.handler = (event, context, callback) => {}
