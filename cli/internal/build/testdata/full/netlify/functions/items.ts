import type { Config, Context } from '@netlify/functions'

export default async (request: Request, context: Context) => new Response(context.params.id)

export const config: Config = {
  path: ['/items/:id', '/things/:id'],
  excludedPath: '/items/none',
  method: ['GET', 'post'],
  preferStatic: true,
}
