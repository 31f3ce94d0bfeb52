export default () => new Response('fine')
