exports.handler = async () => { throw new Error('nobody hears this') }
