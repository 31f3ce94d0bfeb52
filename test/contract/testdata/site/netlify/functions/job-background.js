const { report } = require('../../lib/report.cjs')
exports.handler = async (event, context) => {
  await report(event.headers, { event, clientContext: context.clientContext, contextKeys: Object.keys(context).sort() })
  return { statusCode: 500, headers: { 'x-ignored': '1' }, body: 'ignored' }
}
