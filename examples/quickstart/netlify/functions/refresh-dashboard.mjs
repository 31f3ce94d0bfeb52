// Computes the dashboard's figure each minute; dashboard.ts shows it.
import { figureAt } from '../../lib/figure.mjs';

export default async (request) => {
  const { next_run } = await request.json().catch(() => ({})); // a call by hand has no body
  const figure = figureAt(Date.now());
  console.log(`the figure is ${figure.visitors}, the next one comes at ${next_run ?? 'the next minute'}`);
};

export const config = { schedule: '* * * * *' };
