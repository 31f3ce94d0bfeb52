export default { fetch: async () => new Response('x'), formSubmitted(event) { console.log(event) } }
