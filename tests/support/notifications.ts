import type { TestDatabase } from "./database.ts";

/** Calls `act`, and resolves to the channels that rang because of it, in order. */
export async function notificationsOf(
  db: TestDatabase,
  channels: string[],
  act: () => Promise<unknown>,
): Promise<string[]> {
  const rings: string[] = [];
  const end = Promise.withResolvers<void>();
  const subscriptions = [
    ...await Promise.all(channels.map((channel) => db.sql.listen(channel, () => void rings.push(channel)))),
    await db.sql.listen("end_of_act", () => end.resolve()),
  ];
  await act();
  await db.sql.notify("end_of_act", ""); // it is delivered after every notification that was sent before
  await end.promise;
  for (const { unlisten } of subscriptions) await unlisten();
  return rings;
}
