exports.handler = async () => ({ statusCode: 200, body: `main ${require.main}, parent ${module.parent}, in the cache ${module === require.cache[__filename]}` })
