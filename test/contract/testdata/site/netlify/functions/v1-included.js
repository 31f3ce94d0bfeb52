const { readFileSync, existsSync } = require('fs')
const { join } = require('path')
exports.handler = async () => ({ statusCode: 200, body: readFileSync(join(process.env.LAMBDA_TASK_ROOT && existsSync(join(process.env.LAMBDA_TASK_ROOT, 'data')) ? process.env.LAMBDA_TASK_ROOT : join(__dirname, '../..'), 'data/note.txt'), 'utf8') })
