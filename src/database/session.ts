import type { ConnectionSettings } from "./settings.ts";
import { withDeadline } from "./deadline.ts";
import {
  type Build,
  type Client,
  discard,
  isSent,
  makeTag,
  openClient,
  reportedSettings,
  type Rows,
  setIdle,
  type Tag,
  unreachableError,
} from "./driver.ts";
import { codeOf, isConnectionError, markConnectionError, READ_ONLY } from "./error_codes.ts";
import type { DatabaseUnreachable } from "../errors.ts";
import { FOR_TRANSACTIONS, GUARD } from "./session_settings.ts";
import { readProperty } from "../thrown.ts";
import type { WrittenStatement } from "./written_statement.ts";

/** The options of a session. */
export interface SessionOptions {
  /** Called for every notification of a channel that the session listens on. */
  onnotify?: (channel: string, payload: string) => void;
  /** Terminates the server's process `pid`; called when a session is discarded in the middle of a statement. */
  terminate?: (pid: number) => void;
}

/**
 * A single connection. BEGIN and COMMIT are plain statements on it. Once the connection is lost, the session rejects all
 * further statements, since the driver would silently run them on a new connection, outside of their transaction. For
 * the same reason it passes the driver one statement at a time, except two that the driver writes at once: the driver
 * would keep waiting statements for a new connection, too.
 */
export class Session {
  readonly #settings: ConnectionSettings;
  readonly #client: Client;
  readonly #terminate: ((pid: number) => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #unanswered = 0;
  #isConnected = false;
  #isStale = false;
  /** The names of the statements that {@linkcode textOf} has prepared. */
  readonly #prepared = new Map<TemplateStringsArray, string>();
  #names = 0;
  /** Whether its transactions could write by default, as the server has reported at some time. */
  #couldWrite = false;
  #lost: DatabaseUnreachable | undefined;
  #onLost: (() => void) | undefined;

  /** The server's process, once it is known. */
  pid: number | undefined;

  constructor(settings: ConnectionSettings, { terminate, ...options }: SessionOptions = {}) {
    this.#settings = settings;
    this.#terminate = terminate;
    this.#client = openClient(settings, {
      max: 1,
      idle_timeout: 0,
      max_lifetime: null,
      // Only this timeout detects a connection that is killed while it connects.
      connect_timeout: 2,
      connection: FOR_TRANSACTIONS,
      onclose: () => this.#lose(Object.assign(new Error("the connection was closed"), { code: "CONNECTION_CLOSED" })),
      onparameter: (name: string, value: string) => {
        if (name === GUARD.name && value === "off") this.#couldWrite = true;
      },
      ...options as object,
    });
  }

  /** Whether each of its transactions may run in another process of the server. */
  get isPooled(): boolean {
    return this.#settings.pooled ?? false;
  }

  /** Statements that each of its transactions needs at its beginning. */
  get setup(): string {
    return this.#settings.found?.setup?.transactions ?? "";
  }

  /**
   * Whether its transactions are read-only unless BEGIN says otherwise, by {@linkcode GUARD}, so that a statement which
   * comes to run outside of them writes nothing. Undefined where they must be as they are: behind a pooler, on a standby,
   * where an administrator made them read-only, and until the server has reported all that.
   */
  get isGuarded(): boolean | undefined {
    const { [GUARD.name]: isReadOnly, in_hot_standby: isStandby } = reportedSettings(this.#client);
    return this.#couldWrite && isStandby === "off" && !this.isPooled ? isReadOnly === "on" : undefined;
  }

  /** Whether it was refused to write: another connection may lead to a server that takes writes. */
  get isStale(): boolean {
    return this.#isStale;
  }

  /** Why the connection is lost; undefined while it is not. */
  get lost(): DatabaseUnreachable | undefined {
    return this.#lost;
  }

  /** Calls `listener` once when the connection is lost or discarded. */
  set onLost(listener: () => void) {
    this.#onLost = listener;
    if (this.#lost) listener();
  }

  /**
   * Runs one statement, after those before it.
   *
   * @param deadline Milliseconds that the server may take; 0 for no limit. If it takes longer, the connection is lost.
   * @param isWaiting Called when the deadline has passed; true grants the server the same time again.
   * @throws {DatabaseUnreachable} If the connection is lost, now or before.
   */
  run<T>(build: Build, deadline = 0, isWaiting?: () => Promise<boolean>): Promise<Rows<T>> {
    const give = () => build(this.#client) as unknown as Promise<Rows<T>>;
    return this.#inTurn(isWaiting ? () => withTimeout(give(), deadline, isWaiting) : give, isWaiting ? 0 : deadline);
  }

  /** Returns the text that runs a statement: the server prepares it at its first use, unless a pooler is in between. */
  textOf(statement: WrittenStatement): string {
    if (this.isPooled) return statement.inline;
    const prepared = this.#prepared.get(statement.strings);
    if (prepared !== undefined) return statement.execute(prepared);
    const name = `firefly_${++this.#names}`;
    this.#prepared.set(statement.strings, name);
    return `PREPARE ${name} AS ${statement.text}; ${statement.execute(name)}`;
  }

  /** Prepares statements once more when they are used next, under other names: the server may have lost them. */
  forgetPrepared(): void {
    this.#prepared.clear();
  }

  /**
   * Runs BEGIN and the first statement of its transaction in one round trip, on a session that is guarded and not in use.
   * If BEGIN fails, the statement runs outside of a transaction, so its outcome must be ignored and the session discarded.
   *
   * @param deadline Milliseconds that BEGIN may take.
   * @returns When BEGIN has ended, and the rows of the statement.
   */
  runFirst<T>(begin: Build, first: Build, deadline: number): { begun: Promise<unknown>; rows: Promise<Rows<T>> } {
    let given: readonly [ReturnType<Build>, ReturnType<Build>];
    const begun = this.#inTurn(() => {
      given = [begin(this.#client).execute(), first(this.#client).execute()];
      return given[0] as unknown as Promise<unknown>;
    }, deadline);
    this.#unanswered++;
    const rows = this.#send(() => this.#endBoth(given, first) as Promise<Rows<T>>, 0);
    this.#turn = rows.then(nothing, nothing);
    return { begun, rows };
  }

  #inTurn<T>(give: () => Promise<T>, deadline: number): Promise<T> {
    const isNext = this.#unanswered++ === 0;
    const outcome = isNext ? this.#send(give, deadline) : this.#turn.then(() => this.#send(give, deadline));
    this.#turn = outcome.then(nothing, nothing);
    return outcome;
  }

  async #send<T>(give: () => Promise<T>, deadline: number): Promise<T> {
    try {
      if (this.#lost) throw this.#lost;
      const rows = await (deadline ? withDeadline(give(), deadline) : give());
      this.#isConnected = true;
      return rows;
    } catch (error) {
      if (codeOf(error) === READ_ONLY) this.#isStale = true;
      // Until the first answer, each error is one of connecting, unless the server found it in the statement.
      if (!this.#isConnected && readProperty(error, "severity") !== "ERROR") markConnectionError(error);
      if (!isConnectionError(error)) throw error;
      this.#lose(error);
      throw this.#lost;
    } finally {
      this.#unanswered--;
    }
  }

  /** Awaits two statements that the driver was just given; gives the second once more, if the driver kept it. */
  async #endBoth(given: readonly [ReturnType<Build>, ReturnType<Build>], second: Build): Promise<unknown> {
    const answers = Promise.allSettled(given);
    await undefined; // by now the driver has written both to the open connection
    // Or it keeps the second, if the first must be prepared or is large, and might send it on a new connection.
    const isKept = !isSent(given[1]);
    if (isKept) given[1].cancel();
    const [before, after] = await answers;
    if (before.status === "rejected") throw before.reason;
    if (isKept) {
      if (this.#lost) throw this.#lost;
      return await second(this.#client);
    }
    if (after.status === "rejected") throw after.reason;
    return after.value;
  }

  /** Sends a statement, unless one is under way, so that the server does not consider the session idle. */
  ping(): void {
    if (this.#unanswered === 0 && !this.#lost) this.run((client) => client`SELECT 1`).catch(() => {});
  }

  /** Lets the process end while the session is open, as long as `isIdle`. */
  setIdle(isIdle: boolean): void {
    setIdle(this.#client, isIdle);
  }

  /** Makes a tag for statements of the store on this session. */
  tag(schemaName: string): Tag {
    return makeTag((build) => this.run(build), schemaName);
  }

  /** Closes the connection, and terminates its statement: the server would otherwise finish it first, and hold its locks. */
  discard(): void {
    if (this.#unanswered > 0 && this.pid !== undefined && !this.#lost) this.#terminate?.(this.pid);
    this.#lose(Object.assign(new Error("the session was discarded"), { code: "CONNECTION_ENDED" }));
  }

  #lose(error: unknown): void {
    if (this.#lost) return;
    this.#lost = unreachableError(this.#settings, error);
    setIdle(this.#client, false); // it closes in an orderly way
    discard(this.#client); // this also rejects statements that the driver has swallowed
    this.#onLost?.();
  }
}

function nothing(): void {}

/** Rejects with the code DEADLINE if `promise` takes longer than `ms` and `isWaiting` grants it no more. */
async function withTimeout<T>(promise: Promise<T>, ms: number, isWaiting: () => Promise<boolean>): Promise<T> {
  for (;;) {
    try {
      return await withDeadline(promise, ms);
    } catch (error) {
      if (codeOf(error) !== "DEADLINE" || !await isWaiting().catch(() => false)) throw error;
    }
  }
}
