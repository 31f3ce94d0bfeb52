exports.handler = () => { throw new TypeError('thrown at once') }
