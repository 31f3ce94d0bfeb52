exports.handler = 'text'
