export default () => new Response()
export const config = {
  schedule: '61 * * * *',
  path: '/x',
  shedule: 1,
  region: 'eu',
}
