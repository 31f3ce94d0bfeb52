export default async () => { throw new Error('thrown on schedule') }
export const config = { schedule: '@hourly' }
