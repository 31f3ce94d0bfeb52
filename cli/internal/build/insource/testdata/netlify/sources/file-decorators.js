function log(target) { return target }
@log
class Job {}
export default async () => new Response(String(Job))
export const config = { schedule: '@daily' }
