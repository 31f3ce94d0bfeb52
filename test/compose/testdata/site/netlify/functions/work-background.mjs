// One of the thousand.
import { setTimeout as pause } from 'node:timers/promises';

export default async (request) => {
  const { n } = await request.json();
  await pause(300);
  return Response.json({ n });
};
