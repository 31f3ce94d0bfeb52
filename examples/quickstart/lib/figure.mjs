// Functions share no files and no memory: each process has a temporary folder of
// its own. What one leaves for another belongs into the site's database. Here the
// clock stands for it, so that the example needs none: all who ask within a
// minute get the same figure.
const MINUTE = 60_000;

export function figureAt(time) {
  const minute = Math.floor(time / MINUTE);
  return { visitors: 100 + ((minute * 7919) % 900), at: new Date(minute * MINUTE).toISOString() };
}
