import { Batcher } from "./batcher.ts";
import type { Database } from "../database/pools.ts";
import type { Tag } from "../database/driver.ts";
import { retryConflicts } from "../database/conflicts.ts";
import { codeOf, LOCK_NOT_AVAILABLE, markUserFailure } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import type { ScheduleOptions } from "../task/options.ts";
import type { ScheduledCall } from "../task/scheduled_call.ts";
import { areIndependent, type PreparedTask, toInserted, whenPlaced } from "./dependencies.ts";
import type { Sessions } from "../database/sessions.ts";
import type { NewTask } from "../store/new_task.ts";
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

type PreparedBatcher = Batcher<PreparedTask, ScheduledTask>;

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
  readonly #batcher: PreparedBatcher;
  /** What inserts tasks with dependencies, by the transaction of the caller's. */
  readonly #dependants = new WeakMap<object, PreparedBatcher>();
  /** Whether the instance's role may not insert tasks, but only call functions that do; the first call finds out. */
  #producer: boolean | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      insert: async (tasks) => {
        const { database: { inserts } } = await options.connect();
        return await this.#insertThrough(inserts, areIndependent(tasks) ? tasks : await toInserted(tasks));
      },
      sizeOf,
    });
  }

  /** Inserts the tasks of one call, all or none. Calls whose tasks depend on them learn of that by `call`. */
  async insert(tasks: PreparedTask[], tx: ScheduleOptions["tx"], call?: ScheduledCall): Promise<Scheduled> {
    if (tx !== undefined && tx !== null) {
      const insert = (tasks: NewTask[]) => insertThroughClient(tx, tasks, this.#options.schema);
      return { scheduled: await this.#insertInto(tx, { tasks, call, insert }), fresh: COMMITTED };
    }
    const joined = tx === null ? undefined : this.#options.openTransaction();
    if (!joined) return { scheduled: await this.#insertOwn(tasks, call), fresh: COMMITTED };
    const insert = (tasks: NewTask[]) => this.#insertThrough(joined.statements, tasks);
    const scheduled = await this.#insertInto(joined, { tasks, call, insert });
    return { scheduled, fresh: { uncommitted: () => !joined.outermost.ended } };
  }

  /**
   * Inserts tasks in a transaction of the caller's: at once, but for those that depend on others. These wait for the ids
   * of others, and share a statement with the calls that do so, too.
   */
  async #insertInto(
    transaction: object,
    { tasks, call, insert }: {
      tasks: PreparedTask[];
      call: ScheduledCall | undefined;
      insert: (tasks: NewTask[]) => Promise<ScheduledTask[]>;
    },
  ): Promise<ScheduledTask[]> {
    if (areIndependent(tasks)) return await insert(tasks);
    if (areUnique(tasks)) return await insert(await toInserted(tasks));
    let batcher = this.#dependants.get(transaction);
    if (!batcher) {
      const insertAll = async (tasks: PreparedTask[]) => await insert(await toInserted(tasks));
      batcher = new Batcher({ insert: insertAll, sizeOf, inTransaction: true });
      this.#dependants.set(transaction, batcher);
    }
    return await insertTogether(tasks, { call, batcher });
  }

  /** Inserts tasks outside of any transaction of the caller's. */
  #insertOwn(tasks: PreparedTask[], call: ScheduledCall | undefined): Promise<ScheduledTask[]> {
    const unique = areUnique(tasks);
    if (unique || !isOneStatement(tasks)) return this.#insertAlone(tasks, unique);
    return insertTogether(tasks, { call, batcher: this.#batcher });
  }

  /** Inserts tasks in a transaction of their own. */
  async #insertAlone(prepared: PreparedTask[], unique: boolean): Promise<ScheduledTask[]> {
    const { schema, connect, uniqueTimeout = UNIQUE_TIMEOUT } = this.#options;
    const tasks = areIndependent(prepared) ? prepared : await toInserted(prepared);
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

/** Inserts the tasks of a call in a statement that they share with other calls, once it is known how all that they depend on are inserted. */
function insertTogether(
  tasks: PreparedTask[],
  { call, batcher }: { call: ScheduledCall | undefined; batcher: PreparedBatcher },
): Promise<ScheduledTask[]> {
  const insert = () => {
    call?.place(tasks, batcher);
    return batcher.insert(tasks);
  };
  return areIndependent(tasks) ? insert() : whenPlaced(tasks, batcher).then(insert);
}

/** How many characters a task adds to a statement. */
function sizeOf({ params, depends }: PreparedTask): number {
  return params.length + (depends ? depends.length * 16 : 0);
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
