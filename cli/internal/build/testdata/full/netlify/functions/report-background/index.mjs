export default () => new Response()
export const config = { schedule: '0 0 1 * *' }
