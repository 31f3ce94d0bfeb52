export default { fetch(req, context) { return Response.json({ form: 'object', params: context.params, method: req.method }) }, config: { path: '/object/:id', method: ['GET', 'POST'] } }
