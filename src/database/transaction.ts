import { type Build, makeTag, makeUserTag, type Rows, type Tag } from "./driver.ts";
import { codeOf, markCommitFailure, markOwnFailure, markUserFailure, READ_ONLY } from "./error_codes.ts";
import { mayAskForReadOnly, mayDeallocate, transactionControlOf } from "./transaction_control.ts";
import {
  begin,
  type Begun,
  commitSession,
  IN_FAILED_TRANSACTION,
  isErrorOfCommit,
  type Last,
  rollBack,
} from "./transaction_ends.ts";
import { DatabaseUnreachable, FireflyError } from "../errors.ts";
import type { Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import type { Sql } from "../sql.ts";
import { makeWrittenTag } from "./written_statement.ts";

/** How long the server may take to begin, commit or roll back, in milliseconds. */
const DEADLINE = 8_000;

/** How a transaction, or a savepoint of one, begins and ends. */
interface Frame {
  readonly schema: string;
  /** The transaction that contains the savepoint. */
  readonly outer?: Transaction;
  /** Begins it, and runs its first statement. */
  open<T>(first: Build): Promise<Begun<T>>;
  /** Commits or rolls back; `last` is sent together with COMMIT. */
  close(session: Session, commit: boolean, last?: Last): Promise<void>;
  drop(session: Session): void;
}

/**
 * A transaction that begins with its first statement. Statements run on one session in the order in which they were
 * sent. A nested transaction is a savepoint; concurrent ones run one after another, as savepoints nest on a connection.
 */
export class Transaction {
  readonly #frame: Frame;
  #sql: Sql | undefined;
  #statements: Tag | undefined;
  #session: Promise<Session> | undefined;
  #failure: unknown;
  #mayBeReadOnly = false;
  #mayHaveDeallocated = false;
  #ended = false;
  #turn: Promise<unknown> = Promise.resolve();
  #savepoints = 0;

  private constructor(frame: Frame) {
    this.#frame = frame;
  }

  /**
   * Makes a transaction on a session of its own. `setup` runs with its BEGIN; `deadline` is how many milliseconds BEGIN,
   * COMMIT and ROLLBACK may each take.
   */
  static on(
    sessions: Sessions,
    { schema, setup = "", deadline = DEADLINE }: { schema: string; setup?: string; deadline?: number },
  ): Transaction {
    return new Transaction({
      schema,
      open: (first) => begin(sessions, first, { setup, deadline }),
      async close(session, commit, last) {
        let clean = false;
        try {
          if (!commit) await rollBack(session, deadline);
          else if (!last) await commitSession(session, deadline);
          else {
            try {
              await last.run(
                makeWrittenTag((statement) => commitSession(session, deadline, { ...last, statement }), schema),
              );
            } catch (error) {
              await rollBack(session, deadline).catch(() => {}); // the failed statement has left the transaction open
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

  /** The tag for users; it rejects COMMIT and the like. */
  get sql(): Sql {
    return this.#sql ??= makeUserTag((build) => this.#run(build), (text) => {
      refuseTransactionControl(text);
      this.#mayBeReadOnly ||= mayAskForReadOnly(text);
      if (mayDeallocate(text)) this.outermost.#mayHaveDeallocated = true;
    });
  }

  /** The tag for statements of the store. */
  get statements(): Tag {
    return this.#statements ??= makeTag(
      (build) =>
        this.#run<never>(build).catch((error) => {
          markOwnFailure(error);
          throw error;
        }),
      this.#frame.schema,
    );
  }

  /** Whether a statement was sent. */
  get begun(): boolean {
    return this.#session !== undefined;
  }

  /** Whether it, or the transaction around it, was committed, rolled back or abandoned. */
  get ended(): boolean {
    return this.#ended || (this.#frame.outer?.ended ?? false);
  }

  /** The outermost transaction, whose COMMIT makes the changes of this one permanent. */
  get outermost(): Transaction {
    return this.#frame.outer?.outermost ?? this;
  }

  /** Whether its connection is lost. */
  async isLost(): Promise<boolean> {
    return await this.#session?.then(
      (session) => session.lost !== undefined,
      (error) => error instanceof DatabaseUnreachable,
    ) ?? false;
  }

  /** The error that aborted it, if one did. Errors that a savepoint undid do not count. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Keeps the server from ending the transaction for being idle. */
  ping(): void {
    if (!this.ended) this.#session?.then((session) => session.ping(), () => {});
  }

  /** Runs `fn` in a savepoint, which is released afterwards, or rolled back if `fn` throws. */
  nested<T>(fn: (inner: Transaction) => Promise<T>): Promise<T> {
    const outcome = this.#turn.then(() => runTransaction(this.#savepoint(`firefly_${++this.#savepoints}`), fn));
    this.#turn = outcome.catch(() => {});
    return outcome;
  }

  /**
   * Commits, if a statement was sent, once all nested transactions have ended. `last`, one statement of the store, is
   * sent together with COMMIT; if it fails, nothing is committed.
   *
   * @throws {FireflyError} If a statement had failed, so that the transaction is rolled back, or if it has ended already.
   * @throws {CommitUnknown} If the connection was lost meanwhile.
   */
  async commit(last?: Last): Promise<void> {
    for (let turn; turn !== this.#turn;) await (turn = this.#turn);
    if (this.ended) throw hasEnded();
    try {
      await this.#end(true, last);
    } catch (error) {
      if (isErrorOfCommit(error)) markCommitFailure(error);
      else markOwnFailure(error); // of `last`
      throw this.#explain(error);
    }
  }

  /** Rolls back, if a statement was sent. A lost connection is rolled back already. */
  async rollback(): Promise<void> {
    await this.#end(false).catch(() => {});
  }

  /** Abandons the transaction in the middle of a statement: closes its connection, which rolls it back. */
  abandon(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session?.then((session) => this.#frame.drop(session), () => {});
  }

  async #end(commit: boolean, last?: Last): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const session = await this.#session;
    if (!session) return;
    if (this.#mayHaveDeallocated) session.forgetPrepared();
    await this.#frame.close(session, commit, last);
  }

  async #run<T>(build: Build): Promise<Rows<T>> {
    if (this.ended) throw hasEnded();
    if (!this.#session) return await this.#open<T>(build);
    const session = await this.#session;
    // After the ROLLBACK of the transaction around it, the statement would run outside of any.
    if (this.#frame.outer?.ended) throw hasEnded();
    try {
      return await session.run<T>(build);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async #open<T>(first: Build): Promise<Rows<T>> {
    const opened = this.#frame.open<T>(first);
    this.#session = opened.then(({ session }) => session);
    try {
      await this.#session;
      return await (await opened).rows;
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Adds the error that aborted the transaction, as the server reports only that it is aborted. */
  #explain(error: unknown): unknown {
    if (codeOf(error) === READ_ONLY && this.#isReadOnlyByChoice) markUserFailure(error as object);
    if (codeOf(error) !== IN_FAILED_TRANSACTION) return this.#failure = error;
    return new FireflyError("Cannot go on with the transaction as one of its statements failed", {
      cause: this.#failure,
    });
  }

  get #isReadOnlyByChoice(): boolean {
    const { outer } = this.#frame;
    return this.#mayBeReadOnly || outer !== undefined && outer.#isReadOnlyByChoice;
  }

  #savepoint(name: string): Transaction {
    return new Transaction({
      schema: this.#frame.schema,
      outer: this,
      open: async <T>(first: Build) => {
        await this.#run((client) => client.unsafe(`SAVEPOINT ${name}`));
        const session = await this.#session!;
        if (this.ended) throw hasEnded();
        return { session, rows: session.run<T>(first) };
      },
      close: async (session, commit) => {
        if (this.ended) throw hasEnded();
        // Released in either case: a savepoint that stays would hide an outer one of the same name.
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

/** Runs `fn` in `transaction`, then commits; rolls back and rethrows if `fn` throws. */
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

/** Rejects BEGIN, COMMIT and the like: a handler that commits would separate its changes from `completed`. */
function refuseTransactionControl(text: string): void {
  const control = transactionControlOf(text);
  if (!control) return;
  throw new FireflyError(
    `Cannot run ${control} here as Firefly ends this transaction: throw to roll back, or use transaction() for a savepoint`,
  );
}
