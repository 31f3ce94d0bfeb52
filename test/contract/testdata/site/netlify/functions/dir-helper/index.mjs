import { help } from './help.mjs'
export default async () => new Response(help)
