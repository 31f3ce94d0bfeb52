export default async function named(req, context) { return new Response(`${arguments.length} ${context.params ? 'params' : ''}`) }
