exports.handler = (event, context, callback) => callback(new Error('told by callback'))
