import { Batcher } from "./batcher.ts";
import type { Database } from "../database/pools.ts";
import type { Tag } from "../database/driver.ts";
import { retryConflicts } from "../database/conflicts.ts";
import { codeOf, LOCK_NOT_AVAILABLE, markUserFailure } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import type { ScheduleOptions } from "../task/options.ts";
import type { ScheduledCall } from "../task/scheduled_call.ts";
import { haveDependencies, type PreparedTask, toInserted, whenPlaced } from "./dependencies.ts";
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
  readonly #batcher: Batcher<PreparedTask, ScheduledTask>;
  /** Whether the instance's role may not insert tasks, but only call functions that do; the first call finds out. */
  #producer: boolean | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      insert: async (tasks) => {
        const { database: { inserts } } = await options.connect();
        return await this.#insertThrough(inserts, haveDependencies(tasks) ? await toInserted(tasks) : tasks);
      },
      sizeOf: ({ params, dependencies }) => params.length + (dependencies ? dependencies.length * 16 : 0),
    });
  }

  /** Inserts the tasks of one call, all or none. Calls whose tasks depend on them learn of that by `call`. */
  async insert(tasks: PreparedTask[], tx: ScheduleOptions["tx"], call?: ScheduledCall): Promise<Scheduled> {
    const dependant = haveDependencies(tasks);
    if (tx === undefined || tx === null) {
      const joined = tx === null ? undefined : this.#options.openTransaction();
      if (!joined) return { scheduled: await this.#insertOwn(tasks, { dependant, call }), fresh: COMMITTED };
      const scheduled = await this.#insertThrough(joined.statements, dependant ? await toInserted(tasks) : tasks);
      return { scheduled, fresh: { uncommitted: () => !joined.outermost.ended } };
    }
    const inserted = dependant ? await toInserted(tasks) : tasks;
    return { scheduled: await insertThroughClient(tx, inserted, this.#options.schema), fresh: COMMITTED };
  }

  /** Inserts tasks outside of any transaction of the caller's. */
  async #insertOwn(
    tasks: PreparedTask[],
    { dependant, call }: { dependant: boolean; call: ScheduledCall | undefined },
  ): Promise<ScheduledTask[]> {
    const unique = areUnique(tasks);
    if (unique || !isOneStatement(tasks)) return await this.#insertAlone(dependant ? await toInserted(tasks) : tasks, unique);
    if (dependant) await whenPlaced(tasks, this.#batcher);
    call?.place(tasks, this.#batcher);
    return await this.#batcher.insert(tasks);
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
