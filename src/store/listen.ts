import type { Tag } from "../database/driver.ts";

/** Returns the channel that wakes consumers of a queue, as the SQL function `channel` does. */
export function queueChannel(schema: string, queue: string): string {
  return `${schema}_${queue}`;
}

/** Returns the channel on which consumers learn of cancelled tasks and paused queues, as the SQL function `control_channel` does. */
export function controlChannel(schema: string): string {
  return `${schema}:control`;
}

/** Returns the channel on which consumers of all queues learn of new ones, as the SQL function `queues_channel` does. */
export function queuesChannel(schema: string): string {
  return `${schema}:queues`;
}

/** Returns the channel on which programs that wait for results learn of an end, as the SQL function `ended_channel` does. */
export function endedChannel(schema: string): string {
  return `${schema}:ended`;
}

/** Subscribes the session behind `sql` to a channel. */
export async function listenOn(sql: Tag, channel: string): Promise<void> {
  // LISTEN takes no parameter, only an identifier.
  await sql`LISTEN ${sql.identifier(channel)}`;
}

/** Unsubscribes the session behind `sql` from a channel. */
export async function unlistenFrom(sql: Tag, channel: string): Promise<void> {
  await sql`UNLISTEN ${sql.identifier(channel)}`;
}

/** Notifies a channel. */
export async function notify(sql: Tag, channel: string): Promise<void> {
  await sql`SELECT pg_notify(${channel}, '')`;
}

/** Reads the channels that the session behind `sql` listens on, and whether its server is a standby. */
export async function checkListening(sql: Tag): Promise<{ standby: boolean; channels: string[] }> {
  const [row] = await sql`
    SELECT pg_is_in_recovery() AS standby, COALESCE((SELECT json_agg(channel) FROM pg_listening_channels() AS channel), '[]') AS channels
  `;
  return row as { standby: boolean; channels: string[] };
}
