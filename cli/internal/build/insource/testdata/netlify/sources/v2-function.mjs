export default async function run(request, context) {
  return new Response('x')
}
