// Computes the dashboard's figure each minute; dashboard.ts shows it.
import { writeFigure } from '../../lib/figure.mjs';

export default async (request) => {
  const { next_run } = await request.json().catch(() => ({})); // a call by hand has no body
  const figure = { visitors: 100 + Math.floor(Math.random() * 900), at: new Date().toISOString(), next_run };
  await writeFigure(figure);
  console.log(`the figure is ${figure.visitors}`);
};

export const config = { schedule: '* * * * *' };
