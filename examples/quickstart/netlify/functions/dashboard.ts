// Shows the figure that refresh-dashboard computed last.
import { figureAt } from '../../lib/figure.mjs';

export const handler = async () => {
  const figure = figureAt(Date.now());
  return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(figure) };
};
