import type { Config, Context } from '@netlify/functions'
import { typed } from '../../lib/typed'
export default async (_: Request, context: Context): Promise<Response> => new Response(`${typed(4)} ${context.params.id}`)
export const config: Config = { path: '/ts/:id' }
