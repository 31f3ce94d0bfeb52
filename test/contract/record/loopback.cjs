// Keeps every server of the process on loopback.
const net = require('net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (first, ...rest) {
  if (first !== null && typeof first === 'object') {
    return listen.call(this, first.path ? first : { ...first, host: '127.0.0.1' }, ...rest)
  }
  if (typeof first === 'number' || /^\d+$/.test(first)) {
    return listen.call(this, first, '127.0.0.1', ...rest.filter((arg) => typeof arg === 'function'))
  }
  return listen.call(this, first, ...rest)
}
