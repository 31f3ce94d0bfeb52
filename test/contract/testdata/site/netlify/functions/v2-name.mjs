export default async () => new Response('named')
export const config = { name: 'A display name', generator: 'own' }
