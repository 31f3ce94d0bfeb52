export default { other: () => new Response('x') }
