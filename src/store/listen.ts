import type { Tag } from "../database/driver.ts";

/** The channel that wakes consumers of a queue. The SQL function `channel` agrees. */
export function queueChannel(schema: string, queue: string): string {
  return `${schema}_${queue}`;
}

/** The channel that tells consumers to look for cancelled tasks. The SQL function `control_channel` agrees. */
export function controlChannel(schema: string): string {
  return `${schema}:control`;
}

/** The channel that tells whoever awaits results to look again. The SQL function `ended_channel` agrees. */
export function endedChannel(schema: string): string {
  return `${schema}:ended`;
}

/** Subscribes the session behind `sql` to a channel. */
export async function listenOn(sql: Tag, channel: string): Promise<void> {
  // LISTEN takes no parameter, only an identifier.
  await sql`LISTEN ${sql.identifier(channel)}`;
}

/** Ends what {@linkcode listenOn} began. */
export async function unlistenFrom(sql: Tag, channel: string): Promise<void> {
  await sql`UNLISTEN ${sql.identifier(channel)}`;
}

/** Rings a channel. */
export async function notify(sql: Tag, channel: string): Promise<void> {
  await sql`SELECT pg_notify(${channel}, '')`;
}

/** What the session behind `sql` listens on, and whether its server is a standby. */
export async function checkListening(sql: Tag): Promise<{ standby: boolean; channels: string[] }> {
  const [row] = await sql`
    SELECT pg_is_in_recovery() AS standby, COALESCE((SELECT json_agg(channel) FROM pg_listening_channels() AS channel), '[]') AS channels
  `;
  return row as { standby: boolean; channels: string[] };
}
