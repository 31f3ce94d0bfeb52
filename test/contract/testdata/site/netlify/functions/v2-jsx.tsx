const h = (tag: string, props: any, ...children: string[]) => `<${tag}>${children.join('')}</${tag}>`
/** @jsx h */
export default async () => new Response(String(<p>jsx</p>))
export const config = { path: '/jsx' }
