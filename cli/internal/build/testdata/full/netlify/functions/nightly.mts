const hours = 2

export default async () => new Response('x')

export const config = {
  schedule: `0 3 * * *`,
  timeout: hours * 60,
  overlap: 'skip',
}
