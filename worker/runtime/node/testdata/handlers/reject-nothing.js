exports.handler = () => Promise.reject()
