import type { ConnectionSettings } from "../database/settings.ts";
import { withDeadline } from "../database/deadline.ts";
import type { Tag } from "../database/driver.ts";
import { Session, type SessionOptions } from "../database/session.ts";
import { beginReading, endReading, type ServerState } from "../store/health.ts";

/** The longest that a check's statement may run on the server, in milliseconds, and the longest wait for its reply. */
const STATEMENT_TIMEOUT = 5_000;
const DEADLINE = 8_000;

/** The database to check. */
export interface TargetOptions {
  settings: ConnectionSettings;
  /** Where to LISTEN, if not at `settings`. */
  listening?: ConnectionSettings;
  schema: string;
  /** The names of the tasks that are defined here; empty if unknown. */
  names: readonly string[];
}

/** The database that is checked: in read-only transactions, each with a deadline. */
export class Target {
  readonly options: TargetOptions;
  /** The server's state, once the check `connection` has run. */
  server: ServerState | undefined;
  /** Whether connections pass through a transaction pooler, once the check `pooler` has run. */
  pooled = false;
  #session: Session | undefined;

  constructor(options: TargetOptions) {
    this.options = options;
  }

  /** Runs `act` in a read-only transaction. */
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
      // The state of an interrupted transaction is unknown.
      session.discard();
      throw error;
    }
  }

  /** Opens a connection without parameters that a pooler would refuse. The caller discards it. */
  open(options: SessionOptions = {}, settings: ConnectionSettings = this.options.settings): Session {
    return new Session({ ...settings, pooled: true }, options);
  }

  /** Closes the connection. */
  end(): void {
    this.#session?.discard();
  }
}
