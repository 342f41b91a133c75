import type { Closing } from "../closing.ts";
import { Database } from "../database/pools.ts";
import { Session } from "../database/session.ts";
import { Sessions } from "../database/sessions.ts";
import { type ConnectionSettings, resolveConnection } from "../database/settings.ts";
import { startEmbedded } from "../embedded/embedded.ts";
import type { Emitter } from "../events.ts";
import { Listener } from "../notify/listener.ts";
import { Results } from "../records/result_waiter.ts";
import { migrate, migrationStates } from "../schema/migrator.ts";
import { endBackend } from "../store/consumers.ts";
import { notify } from "../store/listen.ts";
import { chooseDatabase, EMBEDDED } from "./database_choice.ts";
import type { FireflyOptions } from "./options.ts";

/** The connections of an instance, and the objects that share them. */
export interface Connected {
  readonly settings: ConnectionSettings;
  readonly database: Database;
  readonly sessions: Sessions;
  readonly listener: Listener;
  readonly results: Results;
}

/** Sessions that transactions outside of consumers may take at a time. */
const TRANSACTIONS = 10;

/**
 * Finds the database that the options or the environment name. Starts the embedded server where that is the one.
 *
 * @throws {TypeError} If the database URL or one of the `PG*` variables cannot be used.
 * @throws {DatabaseUnreachable} If none is named, and the embedded one was not asked for.
 * @throws {EmbeddedServerError} If the embedded server cannot run here.
 */
export async function findDatabase(
  { database, onProgress = () => {} }: { [K in "database" | "onProgress"]?: FireflyOptions[K] | undefined },
): Promise<ConnectionSettings> {
  const chosen = chooseDatabase(database);
  if (chosen !== EMBEDDED) return await resolveConnection(chosen, { warn: onProgress });
  const { url } = await startEmbedded({ onProgress });
  return await resolveConnection(url, { embedded: true });
}

/** Opens the connections of an instance. Migrates the embedded server if its schema is behind this release. */
export async function connect(
  { schema, options, events }: { schema: string; options: Readonly<FireflyOptions>; events: Emitter },
  closing: Closing,
): Promise<Connected> {
  const found = await findDatabase(options);
  const direct = options.listenDatabase ? await resolveConnection(options.listenDatabase) : found;
  const database = await Database.open(found, schema, closing);
  const { settings } = database;
  if (settings.embedded) {
    const states = await migrationStates(database.sql);
    if (states.some(({ applied }) => applied === null)) await migrate(settings, schema, options.onProgress);
  }
  const terminate = (pid: number) => void endBackend(database.sql, pid).catch(() => {});
  const sessions = new Sessions(() => new Session(settings, { terminate }), TRANSACTIONS);
  // One statement in ten seconds needs no prepared plan, and without one it works through every pooler that can listen.
  const listener = new Listener((session) => new Session({ ...direct, pooled: true }, session), {
    schema,
    events,
    echo: (channel) => notify(database.sql, channel),
  });
  return { settings, database, sessions, listener, results: new Results({ sql: database.records, listener, closing }) };
}

/** Closes the connections of an instance. */
export async function disconnect({ listener, sessions, database }: Connected): Promise<void> {
  await listener.end();
  sessions.end();
  await database.end();
}
