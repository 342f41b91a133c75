import { Emitter } from "../../src/events.ts";
import { Listener, type ListenerOptions } from "../../src/notify/listener.ts";
import { Session } from "../../src/database/session.ts";
import type { ConnectionSettings } from "../../src/database/settings.ts";
import type { TestDatabase } from "./database.ts";
import { until } from "./waiting.ts";

/** A listener, ended at the end, with the events that it emitted. */
export interface Bench extends AsyncDisposable {
  listener: Listener;
  /** The names of the events so far. */
  events: string[];
}

/** Makes a listener on a database. */
export function listenTo(settings: ConnectionSettings, options: Partial<ListenerOptions> = {}): Bench {
  const emitter = new Emitter();
  const events: string[] = [];
  for (const event of ["listener.connected", "listener.lost", "listener.unavailable"] as const) {
    emitter.on(event, () => events.push(event));
  }
  const listener = new Listener((session) => new Session(settings, session), {
    schema: "firefly",
    events: emitter,
    ...options,
  });
  return { listener, events, [Symbol.asyncDispose]: () => listener.end() };
}

/** The notifications of one subscriber. */
export interface Recorder {
  readonly notifications: string[];
  readonly record: (channel: string | undefined) => void;
  /** Resolves with the first notification. */
  readonly first: Promise<void>;
}

/** Notes every notification; one without a channel as "all". */
export function recorder(): Recorder {
  const notifications: string[] = [];
  const first = Promise.withResolvers<void>();
  return {
    notifications,
    record(channel) {
      notifications.push(channel ?? "all");
      first.resolve();
    },
    first: first.promise,
  };
}

/** Sends a notification. */
export async function notify({ sql }: TestDatabase, channel: string): Promise<void> {
  await sql`SELECT pg_notify(${channel}, '')`;
}

/** Ends the connection that listens; resolves once there was one. */
export async function terminateListener({ sql }: TestDatabase): Promise<void> {
  await until(async () => {
    const rows = await sql`
      SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'firefly'
    `;
    return rows.length > 0;
  });
}

/** Counts the connections of this package. */
export async function connections({ sql }: TestDatabase): Promise<number> {
  const rows = await sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
  `;
  return rows.length;
}
