function log(target: any, context?: any) { return target }
@log
class Job { @log run() { return 'x' } }
export default async () => new Response(new Job().run())
export const config = { schedule: '@daily' }
