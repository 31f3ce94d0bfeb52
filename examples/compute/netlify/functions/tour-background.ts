// Finds the shortest tour through stops. It does nothing but compute, for as long
// as it takes, or until somebody cancels it.
import type { Context } from '@netlify/functions';
import { shortestTour, type Stop } from '../../lib/tour';

export default async (request: Request, context: Context): Promise<Response> => {
  const { stops } = (await request.json()) as { stops?: Stop[] };
  if (!stops?.length || !stops.every((stop) => stop.length === 2 && stop.every(Number.isFinite))) {
    return Response.json({ error: 'say where to go: {"stops":[[0,0],[3,4],…]}' }, { status: 400 });
  }
  console.log(`${stops.length} stops, run ${context.requestId}`);
  // Written at once and not at the end, so that people can follow it.
  const tour = shortestTour(stops, ({ length }) => console.log(`a shorter tour: ${length.toFixed(1)}`));
  return Response.json(tour);
};

// A computation that failed or took too long would do so again. Seconds.
export const config = { timeout: 600, retries: 0 };
