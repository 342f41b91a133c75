import { Batcher } from "./batcher.ts";
import type { Database } from "../database/pools.ts";
import type { Tag } from "../database/driver.ts";
import { retryConflicts } from "../database/conflicts.ts";
import { codeOf, LOCK_NOT_AVAILABLE, markUserFailure } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import type { ScheduleOptions } from "../task/options.ts";
import type { Sessions } from "../database/sessions.ts";
import type { NewTask } from "../store/insert.ts";
import { areUnique, isOneStatement, isProducer, type ScheduledTask, scheduleTasks } from "../store/schedule.ts";
import type { FreshRecord } from "../task/record.ts";
import { runTransaction, Transaction } from "../database/transaction.ts";
import { tagOf } from "../database/user_client.ts";

/** The tasks of a call as they were scheduled, and what is special about their records while its transaction is open. */
export interface Scheduled {
  readonly scheduled: ScheduledTask[];
  readonly fresh: FreshRecord;
}

/** The connections and transactions that a {@linkcode Scheduler} chooses from. */
export interface SchedulerOptions {
  readonly schema: string;
  /** The transaction of the code that runs now, if it belongs to this instance. */
  readonly openTransaction: () => Transaction | undefined;
  readonly connect: () => Promise<{ database: Database; sessions: Sessions }>;
  /** How many seconds a unique task waits for an open transaction that schedules its duplicate. @default 15 */
  readonly uniqueTimeout?: number;
}

/** Nothing is special about the records; of a user's own transaction, nothing is known. */
const COMMITTED: FreshRecord = {};

/** Not for ever: the open transaction may itself wait for this call. */
const UNIQUE_TIMEOUT = 15;

/**
 * Decides where the tasks of a call are inserted: through the user's client, in the open transaction, in a transaction
 * of their own, or together with other calls in a batch.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #batcher: Batcher<NewTask, ScheduledTask>;
  /** Whether the instance's role may not insert tasks, but only call functions that do; the first call finds out. */
  #producer: boolean | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      insert: async (tasks) => await this.#insertThrough((await options.connect()).database.inserts, tasks),
      sizeOf: ({ params }) => params.length,
    });
  }

  /** Inserts the tasks of one call, all or none. */
  async insert(tasks: NewTask[], tx: ScheduleOptions["tx"]): Promise<Scheduled> {
    const { schema, openTransaction } = this.#options;
    if (tx !== undefined && tx !== null) {
      return { scheduled: await insertThroughClient(tx, tasks, schema), fresh: COMMITTED };
    }
    const joined = tx === null ? undefined : openTransaction();
    if (joined) {
      const scheduled = await this.#insertThrough(joined.statements, tasks);
      return { scheduled, fresh: { uncommitted: () => !joined.outermost.ended } };
    }
    const unique = areUnique(tasks);
    const alone = unique || !isOneStatement(tasks);
    const scheduled = await (alone ? this.#insertAlone(tasks, unique) : this.#batcher.insert(tasks));
    return { scheduled, fresh: COMMITTED };
  }

  /** Inserts tasks in a transaction of their own. */
  async #insertAlone(tasks: NewTask[], unique: boolean): Promise<ScheduledTask[]> {
    const { schema, connect, uniqueTimeout = UNIQUE_TIMEOUT } = this.#options;
    const { sessions } = await connect();
    // A unique task may wait for another transaction: on a session of its own, it holds up nothing else.
    const begin = () =>
      Transaction.on(sessions, {
        schema,
        ...(unique ? { setup: `SET LOCAL lock_timeout = '${uniqueTimeout}s';` } : {}),
      });
    const insert = ({ statements }: Transaction) => this.#insertThrough(statements, tasks);
    try {
      return await retryConflicts(() => runTransaction(begin(), insert));
    } catch (error) {
      if (!unique || codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
      const [{ func_name: funcName }] = tasks as [NewTask];
      // The open transaction may be that of the handler which schedules this.
      throw markUserFailure(
        new FireflyError(
          `Cannot schedule task "${funcName}" as an open transaction has held its unique key for ${uniqueTimeout} s`,
          { cause: error },
        ),
      );
    }
  }

  async #insertThrough(sql: Tag, tasks: NewTask[]): Promise<ScheduledTask[]> {
    return await scheduleTasks(sql, tasks, this.#producer ??= await isProducer(sql));
  }
}

/**
 * Inserts tasks through a client of the user's. Each call asks whether the client's role is a producer: each client may
 * have another role, or another one by now. Its answer also shows, before anything is inserted, whether rows come back.
 */
async function insertThroughClient(
  client: NonNullable<ScheduleOptions["tx"]>,
  tasks: NewTask[],
  schema: string,
): Promise<ScheduledTask[]> {
  const sql = tagOf(client, schema);
  return await scheduleTasks(sql, tasks, await isProducer(sql));
}
