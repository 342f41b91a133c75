import { type Build, makeTag, makeUserTag, type Rows, type Tag } from "./driver.ts";
import { codeOf } from "./error_codes.ts";
import { transactionControlOf } from "./transaction_control.ts";
import { CommitUnknown, DatabaseUnreachable, FireflyError } from "../errors.ts";
import type { Session, Sessions } from "./session.ts";
import type { Sql } from "../sql.ts";

const IN_FAILED_TRANSACTION = "25P02";
/**
 * COMMIT behind a statement that may fail. The driver sends some statements that failed once more, and behind COMMIT,
 * which ends an aborted transaction, that would run outside of it. This fails in an aborted one, and leaves it so.
 */
const COMMIT_UNLESS_FAILED = "SET CONSTRAINTS ALL IMMEDIATE; COMMIT";
/** How long the server may take to begin, commit or roll back, in milliseconds. */
const DEADLINE = 8_000;

/** What goes out with COMMIT. */
export interface Last {
  /** Runs one statement, which fails where there is nothing to commit. */
  run(sql: Tag): Promise<unknown>;
  /** Whether, if no answer has come in time, it may be that the statement waits for another's lock: it is waited for then. */
  isWaiting?(): Promise<boolean>;
}

/** What begins, commits and rolls back: a transaction, or a savepoint of one. */
interface Frame {
  readonly schema: string;
  /** The transaction that a savepoint is in. */
  readonly outer?: Transaction;
  open(): Promise<Session>;
  /** `last` is sent with COMMIT. */
  close(session: Session, commit: boolean, last?: Last): Promise<void>;
  drop(session: Session): void;
}

/**
 * A transaction that begins with its first statement. Statements go to one session in the order in which they were
 * sent; a transaction inside it is a savepoint, and concurrent ones queue, since savepoints nest on a connection.
 */
export class Transaction {
  readonly #frame: Frame;
  #sql: Sql | undefined;
  #statements: Tag | undefined;
  #session: Promise<Session> | undefined;
  #failure: unknown;
  #ended = false;
  #turn: Promise<unknown> = Promise.resolve();
  #savepoints = 0;

  private constructor(frame: Frame) {
    this.#frame = frame;
  }

  /**
   * A transaction on a session of its own, not begun yet. `setup` runs with its BEGIN; `deadline` is how many
   * milliseconds BEGIN, COMMIT and ROLLBACK may each take.
   */
  static on(
    sessions: Sessions,
    { schema, setup = "", deadline = DEADLINE }: { schema: string; setup?: string; deadline?: number },
  ): Transaction {
    return new Transaction({
      schema,
      async open() {
        const session = await sessions.take();
        try {
          await begin(session, setup, deadline);
          return session;
        } catch (error) {
          sessions.giveBack(session, false);
          throw error;
        }
      },
      async close(session, commit, last) {
        let clean = false;
        try {
          if (!commit) await rollBack(session, deadline);
          else if (!last) await commitSession(session, deadline);
          else {
            try {
              await last.run(makeTag((build) => commitSession(session, deadline, { ...last, build }), schema));
            } catch (error) {
              await rollBack(session, deadline).catch(() => {}); // what failed has left the transaction open
              throw error;
            }
          }
          clean = true;
        } finally {
          sessions.giveBack(session, clean);
        }
      },
      drop: (session) => sessions.giveBack(session, false),
    });
  }

  /** The tag for users: it refuses COMMIT and its like. */
  get sql(): Sql {
    return this.#sql ??= makeUserTag((build) => this.#run(build), refuseTransactionControl);
  }

  /** The tag for statements of the store. */
  get statements(): Tag {
    return this.#statements ??= makeTag((build) => this.#run(build), this.#frame.schema);
  }

  /** Whether a statement was sent. */
  get begun(): boolean {
    return this.#session !== undefined;
  }

  /** Whether it has been committed, rolled back or given up, by itself or with the transaction around it. */
  get ended(): boolean {
    return this.#ended || (this.#frame.outer?.ended ?? false);
  }

  /** The transaction whose COMMIT decides about what happens in this one. */
  get outermost(): Transaction {
    return this.#frame.outer?.outermost ?? this;
  }

  /** Whether its connection is lost, and it with it. */
  async isLost(): Promise<boolean> {
    return await this.#session?.then(
      (session) => session.lost !== undefined,
      (error) => error instanceof DatabaseUnreachable,
    ) ?? false;
  }

  /** Why it is aborted; undefined if it is not. Errors that a savepoint undid are none of this. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Shows the server that this side lives, so that it does not end the transaction for being idle. */
  ping(): void {
    if (!this.ended) this.#session?.then((session) => session.ping(), () => {});
  }

  /** Runs `fn` between a savepoint and its release; whatever it did is undone if it throws. */
  nested<T>(fn: (inner: Transaction) => Promise<T>): Promise<T> {
    const outcome = this.#turn.then(() => runTransaction(this.#savepoint(`firefly_${++this.#savepoints}`), fn));
    this.#turn = outcome.catch(() => {});
    return outcome;
  }

  /**
   * Commits, if anything was begun, once the transactions inside it have ended. `last` is run before, if it is given:
   * one statement of the store, which goes out together with COMMIT. If it fails, nothing is committed.
   *
   * @throws {FireflyError} If a statement had failed: the transaction is rolled back then. If it has ended already.
   * @throws {CommitUnknown} If the connection was lost meanwhile.
   */
  async commit(last?: Last): Promise<void> {
    for (let turn; turn !== this.#turn;) await (turn = this.#turn);
    if (this.ended) throw hasEnded();
    try {
      await this.#end(true, last);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Rolls back, if anything was begun. A lost connection has done that already. */
  async rollback(): Promise<void> {
    await this.#end(false).catch(() => {});
  }

  /** Gives the transaction up in the middle of a statement: its connection is closed, which rolls it back. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session?.then((session) => this.#frame.drop(session), () => {});
  }

  async #end(commit: boolean, last?: Last): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const session = await this.#session;
    if (session) await this.#frame.close(session, commit, last);
  }

  async #run<T>(build: Build): Promise<Rows<T>> {
    if (this.ended) throw hasEnded();
    const session = await (this.#session ??= this.#frame.open());
    // Behind the ROLLBACK of the transaction around it, the statement would run outside of any.
    if (this.#frame.outer?.ended) throw hasEnded();
    try {
      return await session.run<T>(build);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** The server says only that the transaction is aborted: the statement that aborted it is what a user wants to know. */
  #explain(error: unknown): unknown {
    if (codeOf(error) !== IN_FAILED_TRANSACTION) return this.#failure = error;
    return new FireflyError("Cannot go on with the transaction as one of its statements failed", {
      cause: this.#failure,
    });
  }

  #savepoint(name: string): Transaction {
    return new Transaction({
      schema: this.#frame.schema,
      outer: this,
      open: async () => {
        await this.#run((client) => client.unsafe(`SAVEPOINT ${name}`));
        return await this.#session!;
      },
      close: async (session, commit) => {
        if (this.ended) throw hasEnded();
        // Released either way: one that stays would hide the savepoint of the same name around it.
        const [release, undo] = [
          `RELEASE SAVEPOINT ${name}`,
          `ROLLBACK TO SAVEPOINT ${name}; RELEASE SAVEPOINT ${name}`,
        ];
        try {
          await session.run((client) => client.unsafe(commit ? release : undo));
        } catch (error) {
          if (commit && !session.lost) await session.run((client) => client.unsafe(undo));
          throw error;
        }
      },
      drop() {},
    });
  }
}

function hasEnded(): FireflyError {
  return new FireflyError("Cannot run the statement as its transaction has ended");
}

/** Runs `fn` in `transaction`, then commits; rolls back and rethrows if it throws. */
export async function runTransaction<T>(transaction: Transaction, fn: (inner: Transaction) => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await fn(transaction);
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
  await transaction.commit();
  return result;
}

async function begin(session: Session, setup: string, deadline: number): Promise<void> {
  // A session keeps its process for life, unless a pooler stands in between.
  if (session.pid !== undefined && !session.isPooled) {
    await session.run((client) => client.unsafe(`BEGIN; ${setup}`), deadline);
    return;
  }
  const results = await session.run(
    (client) => client.unsafe(`BEGIN; ${setup} SELECT pg_backend_pid() AS pid`),
    deadline,
  );
  session.pid = (results.at(-1) as { pid: number }[])[0]!.pid;
}

async function rollBack(session: Session, deadline: number): Promise<void> {
  if (!session.lost) await session.run((client) => client.unsafe("ROLLBACK"), deadline);
}

async function commitSession(
  session: Session,
  deadline: number,
  last?: Pick<Last, "isWaiting"> & { build: Build },
): Promise<Rows<never>> {
  if (last && session.lost) throw session.lost; // before anything of it was sent
  try {
    const result = last
      ? await session.runBoth<never>(
        last.build,
        (client) => client.unsafe(COMMIT_UNLESS_FAILED),
        deadline,
        last.isWaiting,
      )
      : await session.run<never>((client) => client.unsafe("COMMIT"), deadline);
    if ((result as { command?: string }).command !== "COMMIT") {
      // COMMIT of an aborted transaction is a ROLLBACK, and no error.
      throw Object.assign(new Error("the transaction was rolled back"), { code: IN_FAILED_TRANSACTION });
    }
    return result;
  } catch (error) {
    if (!session.lost) throw error;
    throw new CommitUnknown("Cannot tell whether the transaction was committed, as the connection was lost meanwhile", {
      cause: error,
    });
  }
}

/** Whoever began a transaction ends it: a handler that commits by itself would cut its effects off from `completed`. */
function refuseTransactionControl(text: string): void {
  const control = transactionControlOf(text);
  if (!control) return;
  throw new FireflyError(
    `Cannot run ${control} here as Firefly ends this transaction: throw to roll back, or use transaction() for a savepoint`,
  );
}
