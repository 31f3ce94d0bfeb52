// Shows the figure that refresh-dashboard computed last.
import { readFigure } from '../../lib/figure.mjs';

export const handler = async () => {
  const figure = await readFigure().catch(() => null);
  if (!figure) return { statusCode: 503, headers: { 'retry-after': '60' }, body: 'No figure yet.\n' };
  return { statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(figure) };
};
