module.exports.handler = async () => ({ statusCode: 200, body: `${require('node:path').basename(__filename)} in ${process.cwd() === process.env.LAMBDA_TASK_ROOT}` })
