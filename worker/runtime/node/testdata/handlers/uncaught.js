exports.handler = () =>
  new Promise(() => {
    setTimeout(() => {
      throw new SyntaxError('thrown from a timer')
    }, 5)
  })
