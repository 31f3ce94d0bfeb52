export default () => new Response('x')
throw new Error('thrown while loading')
