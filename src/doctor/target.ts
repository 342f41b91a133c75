import type { ConnectionSettings } from "../database/settings.ts";
import { withDeadline } from "../database/deadline.ts";
import type { Tag } from "../database/driver.ts";
import { Session, type SessionOptions } from "../database/session.ts";
import { beginReading, endReading, type ServerState } from "../store/health.ts";

/** How long a statement of a check may take on the server, in milliseconds, and how long its answer is waited for. */
const STATEMENT_TIMEOUT = 5_000;
const DEADLINE = 8_000;

/** What a doctor is told about the database to look at. */
export interface PatientOptions {
  settings: ConnectionSettings;
  /** Where to LISTEN, if that is elsewhere. */
  listening?: ConnectionSettings;
  schema: string;
  /** The names of the tasks that are defined here, where it is known. */
  names: readonly string[];
}

/** A database that is looked at: in transactions that can change nothing, and with a deadline for each. */
export class Target {
  readonly options: PatientOptions;
  /** What the server said of itself, once the check `server` has run. */
  server: ServerState | undefined;
  /** Whether a transaction pooler is between, once the check `pooler` has run. */
  pooled = false;
  #session: Session | undefined;

  constructor(options: PatientOptions) {
    this.options = options;
  }

  /** Runs `act` in a transaction that can only read. */
  async read<T>(act: (sql: Tag) => Promise<T>): Promise<T> {
    if (this.#session?.lost) this.#session = undefined;
    const session = this.#session ??= this.open();
    const sql = session.tag(this.options.schema);
    const run = async () => {
      await beginReading(sql, STATEMENT_TIMEOUT);
      try {
        return await act(sql);
      } finally {
        await endReading(sql);
      }
    };
    try {
      return await withDeadline(run(), DEADLINE);
    } catch (error) {
      // Of a transaction that ended in the middle, nobody knows how far it is.
      session.discard();
      throw error;
    }
  }

  /** Opens a connection without a parameter that a pooler would refuse; the caller discards it. */
  open(options: SessionOptions = {}, settings: ConnectionSettings = this.options.settings): Session {
    return new Session({ ...settings, options: { ...settings.options, prepare: false } }, options);
  }

  /** Closes the connection. */
  end(): void {
    this.#session?.discard();
  }
}
