export default { name: 'own', fetch() { return new Response('this is ' + this?.name) } }
