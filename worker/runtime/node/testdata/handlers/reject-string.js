exports.handler = () => Promise.reject('only a string')
