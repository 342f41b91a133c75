import { Batcher } from "./batcher.ts";
import type { Database } from "../database/pools.ts";
import { codeOf, LOCK_NOT_AVAILABLE } from "../database/driver.ts";
import { decryptRow, type KeyRing } from "../privacy/encryption.ts";
import { FireflyError } from "../errors.ts";
import type { ScheduleOptions } from "../task/options.ts";
import {
  areUnique,
  encryptTasks,
  insertAll,
  isOneStatement,
  mustUseFunction,
  type ScheduledRow,
  type Target,
} from "./new_tasks.ts";
import type { Sessions } from "../database/session.ts";
import type { NewTask } from "../store/schedule.ts";
import type { FreshRecord } from "../task/record.ts";
import { runTransaction, Transaction } from "../database/transaction.ts";

/** The rows of a call, and what is to be known of them while its transaction is open. */
export interface Scheduled {
  readonly rows: ScheduledRow[];
  readonly fresh: FreshRecord;
}

/** What tasks are scheduled through. */
export interface SchedulerOptions {
  readonly schema: string;
  readonly keys: KeyRing | undefined;
  /** The transaction of the code that runs now, if it is one of this instance. */
  readonly openTransaction: () => Transaction | undefined;
  readonly connect: () => Promise<{ database: Database; sessions: Sessions }>;
}

/** Nothing is to be known; of a user's own transaction, nothing is known. */
const COMMITTED: FreshRecord = {};

/** Seconds that scheduling waits for an open transaction that schedules a duplicate: it may be one that waits for this call. */
const UNIQUE_TIMEOUT = 15;
const UNIQUE_SETUP = `SET LOCAL lock_timeout = '${UNIQUE_TIMEOUT}s';`;

/** Inserts tasks where they belong: in the user's transaction, in the scope's, or in one of their own. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #batcher: Batcher<NewTask, ScheduledRow>;
  /** Whether its role may not insert tasks, but only call functions that do: asked once, of whatever schedules first. */
  #producer: boolean | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      insert: async (tasks) => await this.#insertThrough(tasks, { sql: (await options.connect()).database.inserts }),
      sizeOf: ({ params }) => params.length,
    });
  }

  /** Inserts the tasks of one call, all or none. What was encrypted here need not be decrypted again; a duplicate's must be. */
  async insert(tasks: NewTask[], tx: ScheduleOptions["tx"]): Promise<Scheduled> {
    const { keys } = this.#options;
    if (!keys) return await this.#insert(tasks, tx);
    const sealed = await encryptTasks(tasks, keys);
    const { rows, fresh } = await this.#insert(sealed, tx);
    const opened = rows.map((row, i) =>
      row.params === sealed[i]!.params ? { ...row, params: tasks[i]!.params } : decryptRow(row, keys)
    );
    return { rows: await Promise.all(opened), fresh };
  }

  async #insert(tasks: NewTask[], tx: ScheduleOptions["tx"]): Promise<Scheduled> {
    const { schema, openTransaction } = this.#options;
    if (tx) return { rows: await this.#insertThrough(tasks, { client: tx, schema }), fresh: COMMITTED };
    const joined = tx === null ? undefined : openTransaction();
    if (joined) {
      const rows = await this.#insertThrough(tasks, { sql: joined.statements });
      return { rows, fresh: { uncommitted: () => !joined.outermost.ended } };
    }
    const unique = areUnique(tasks);
    const alone = unique || !isOneStatement(tasks);
    return { rows: await (alone ? this.#insertAlone(tasks, unique) : this.#batcher.insert(tasks)), fresh: COMMITTED };
  }

  /** In a transaction of their own. */
  async #insertAlone(tasks: NewTask[], unique: boolean): Promise<ScheduledRow[]> {
    const { schema, connect } = this.#options;
    const { sessions } = await connect();
    // What waits for somebody's transaction, as a unique task may, must not have others wait behind it in the pool.
    const own = Transaction.on(sessions, { schema, ...(unique ? { setup: UNIQUE_SETUP } : {}) });
    try {
      return await runTransaction(own, ({ statements }) => this.#insertThrough(tasks, { sql: statements }));
    } catch (error) {
      if (!unique || codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
      const [{ func_name: funcName }] = tasks as [NewTask];
      throw new FireflyError(
        `Cannot schedule task "${funcName}" as an open transaction has held its unique key for ${UNIQUE_TIMEOUT} s`,
        { cause: error },
      );
    }
  }

  async #insertThrough(tasks: NewTask[], through: Target): Promise<ScheduledRow[]> {
    return await insertAll(tasks, { ...through, producer: this.#producer ??= await mustUseFunction(through) });
  }
}
