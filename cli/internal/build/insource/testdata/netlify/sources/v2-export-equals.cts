const run = async () => new Response('x')
export = run
