export type Stop = [x: number, y: number];

export interface Tour {
  length: number;
  order: number[]; // of the stops, from the first one, which is also the last
}

// shortestTour finds the shortest tour through all stops by branch and bound: it
// tries every order, but gives one up as soon as it cannot become shorter than
// the best so far. The answer is exact; the time grows quickly with the stops.
export function shortestTour(stops: Stop[], better: (tour: Tour) => void): Tour {
  const distance = stops.map(([ax, ay]) => stops.map(([bx, by]) => Math.hypot(ax - bx, ay - by)));
  // Near ones first, so that the first tour is a good one already.
  const neighbours = distance.map((row, from) => [...row.keys()].filter((to) => to !== from).sort((a, b) => row[a] - row[b]));
  // Each stop that is left has to be left again, by its shortest way at least.
  const leave = neighbours.map((near, from) => (near.length > 0 ? distance[from][near[0]] : 0));

  let best: Tour = { length: Infinity, order: [] };
  const order = [0];
  const visited = stops.map((_, stop) => stop === 0);

  const extend = (length: number, bound: number) => {
    const here = order[order.length - 1];
    if (order.length === stops.length) {
      const whole = length + distance[here][0];
      if (whole < best.length) better((best = { length: whole, order: [...order] }));
      return;
    }
    for (const next of neighbours[here]) {
      if (visited[next]) continue;
      const longer = length + distance[here][next];
      if (longer + bound - leave[here] >= best.length) continue;
      visited[next] = true;
      order.push(next);
      extend(longer, bound - leave[here]);
      order.pop();
      visited[next] = false;
    }
  };
  extend(0, leave.reduce((sum, way) => sum + way, 0));
  return best;
}
