export default function () { return new Response('x') }
