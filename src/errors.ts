/**
 * The base class of the errors that callers may want to catch.
 *
 * @example
 * ```ts
 * import { FireflyError, TaskNotFound } from "@firefly/tasks";
 * import { assert } from "@std/assert";
 *
 * assert(new TaskNotFound(7) instanceof FireflyError);
 * ```
 */
export class FireflyError extends Error {
  /** The name of the class. */
  override name = "FireflyError";
}

/**
 * Stored `params` or `returned` are not in the wire format.
 *
 * @example An argument that was edited by hand
 * ```ts ignore
 * try {
 *   console.log(record.params);
 * } catch (error) {
 *   if (error instanceof FireflyFormatError) console.error(`Task ${record.id} is damaged: ${error.message}`);
 * }
 * ```
 */
export class FireflyFormatError extends FireflyError {
  /** The name of the class. */
  override name = "FireflyFormatError";
}

/**
 * A value exceeds a limit of the wire format: its bytes, depth, length or digits.
 *
 * @example
 * ```ts
 * import { FireflyLimitError, task } from "@firefly/tasks";
 * import { assertRejects } from "@std/assert";
 *
 * const store = task("reports.store", (text: string) => text.length);
 *
 * await assertRejects(() => store.schedule("x".repeat(17 * 1024 ** 2)), FireflyLimitError);
 * ```
 */
export class FireflyLimitError extends RangeError {
  /** The name of the class. */
  override name = "FireflyLimitError";
}

/**
 * A stored value is encrypted and cannot be decrypted. Thrown when `params` or `returned` of a record is read. A task
 * whose arguments were encrypted with a key that its consumer lacks is postponed; a task whose arguments were tampered
 * with fails.
 *
 * @example
 * ```ts ignore
 * try {
 *   console.log(record.params);
 * } catch (error) {
 *   if (error instanceof DecryptionFailed && error.isKeyMissing) console.error(`There is no key ${error.keyId} here`);
 * }
 * ```
 */
export class DecryptionFailed extends FireflyError {
  /** The name of the class. */
  override name = "DecryptionFailed";
  /** The id of the key that encrypted the value; empty if the value is too damaged to contain it. */
  readonly keyId: string;
  /** Whether the instance lacks this key. If it has the key, the value was changed, or moved from where it was stored. */
  readonly isKeyMissing: boolean;

  /**
   * Creates an error for a value that cannot be decrypted.
   *
   * @param message The reason.
   * @param options `keyId`: the id of the key; `isKeyMissing`: whether the instance lacks it (default: false).
   */
  constructor(message: string, { keyId, isKeyMissing = false }: { keyId: string; isKeyMissing?: boolean }) {
    super(message);
    this.keyId = keyId;
    this.isKeyMissing = isKeyMissing;
  }
}

/**
 * The database cannot be reached, closed the connection, or did not answer in time.
 *
 * @example
 * ```ts
 * import { DatabaseUnreachable, Firefly } from "@firefly/tasks";
 * import { assertRejects } from "@std/assert";
 *
 * await using ff = new Firefly({ database: "postgres://127.0.0.1:1/app" });
 *
 * await assertRejects(() => ff.queues(), DatabaseUnreachable);
 * ```
 */
export class DatabaseUnreachable extends FireflyError {
  /** The name of the class. */
  override name = "DatabaseUnreachable";
  /** Whether the server rejected the connection (a wrong password, say), so that retrying cannot help. */
  readonly refused: boolean;

  /**
   * Creates an error for a database that cannot be reached.
   *
   * @param message What failed, and how.
   * @param options `refused`: whether the server rejected the connection (default: false); `cause`: the driver's error.
   */
  constructor(message: string, { refused = false, ...options }: ErrorOptions & { refused?: boolean } = {}) {
    super(message, options);
    this.refused = refused;
  }
}

/**
 * The instance was closed: whatever still waited for its database ends with this error, and so does any later use.
 *
 * @example
 * ```ts
 * import { Firefly, InstanceClosed } from "@firefly/tasks";
 * import { assertRejects } from "@std/assert";
 *
 * const ff = new Firefly();
 * await ff.close();
 *
 * await assertRejects(() => ff.queues(), InstanceClosed);
 * ```
 */
export class InstanceClosed extends FireflyError {
  /** The name of the class. */
  override name = "InstanceClosed";

  /** Creates an error for a closed instance. */
  constructor() {
    super("Cannot use this instance of Firefly as it was closed: create another one, or call configure() again");
  }
}

/**
 * Why the schema cannot be used: all or part of it is `missing`, it is `older` than this package requires or `newer`
 * than it supports, or a migration was `edited` after it was applied.
 */
export type SchemaMismatchReason = "missing" | "older" | "newer" | "edited";

/**
 * The schema in the database does not fit this package; `reason` says why.
 *
 * @example
 * ```ts ignore
 * try {
 *   await consume({ drain: true }).finished;
 * } catch (error) {
 *   if (!(error instanceof SchemaMismatch)) throw error;
 *   console.error(error.reason === "newer" ? "Use a newer release" : "Run migrate");
 * }
 * ```
 */
export class SchemaMismatch extends FireflyError {
  /** The name of the class. */
  override name = "SchemaMismatch";
  /** Why the schema cannot be used. */
  readonly reason: SchemaMismatchReason;

  /**
   * Creates an error for a schema that cannot be used.
   *
   * @param message What failed, and why.
   * @param options `reason`: why the schema cannot be used; `cause`: the driver's error.
   */
  constructor(message: string, { reason, ...options }: ErrorOptions & { reason: SchemaMismatchReason }) {
    super(message, options);
    this.reason = reason;
  }
}

/**
 * The connection was lost during COMMIT, so the transaction may or may not have been committed.
 *
 * @example Look whether it was committed
 * ```ts ignore
 * try {
 *   await transaction(async (sql) => {
 *     await sql`INSERT INTO orders (id) VALUES (${id})`;
 *     await confirm.schedule(id);
 *   });
 * } catch (error) {
 *   if (!(error instanceof CommitUnknown)) throw error;
 *   const isCommitted = (await ff.sql`SELECT FROM orders WHERE id = ${id}`).length > 0;
 *   console.log(isCommitted ? "ordered, and confirm is scheduled" : "neither");
 * }
 * ```
 */
export class CommitUnknown extends FireflyError {
  /** The name of the class. */
  override name = "CommitUnknown";
}

/**
 * An attempt no longer holds its task: the task was rescued, cancelled or retried, and may be running elsewhere.
 *
 * @example Stop without an error of its own
 * ```ts
 * import { current, LeaseLost, task } from "@firefly/tasks";
 *
 * export const sync = task("sync", async (pages: string[]) => {
 *   const { signal } = current();
 *   try {
 *     for (const page of pages) await fetch(page, { signal });
 *   } finally {
 *     if (signal.reason instanceof LeaseLost) console.log("another consumer goes on");
 *   }
 * });
 * ```
 */
export class LeaseLost extends FireflyError {
  /** The name of the class. */
  override name = "LeaseLost";
}

/**
 * The task of this attempt was cancelled. `current().signal` aborts with this error as its reason. What the handler did
 * through `current().sql` is rolled back; from then on its statements are rejected, and it cannot schedule tasks.
 *
 * @example
 * ```ts
 * import { current, task, TaskCancelled } from "@firefly/tasks";
 *
 * export const upload = task("upload", async (url: string, body: string) => {
 *   const { signal } = current();
 *   try {
 *     await fetch(url, { method: "PUT", body, signal });
 *   } catch (error) {
 *     if (signal.reason instanceof TaskCancelled) await fetch(url, { method: "DELETE" });
 *     throw error;
 *   }
 * });
 * ```
 */
export class TaskCancelled extends LeaseLost {
  /** The name of the class. */
  override name = "TaskCancelled";
}

/**
 * A task cannot run as another one, on which it depends, did not complete: it failed, was cancelled or was deleted. This is
 * the cause of the `TaskFailed` that `result()` of the cancelled task rejects with.
 *
 * @example
 * ```ts ignore
 * const failure = await record.result().catch((error) => error);
 * if (failure.cause instanceof DependencyFailed) await tasks.retry({ ids: [failure.cause.root] });
 * ```
 */
export class DependencyFailed extends FireflyError {
  /** The name of the class. */
  override name = "DependencyFailed";
  /** The id of the task that did not complete. */
  readonly dependency: number;
  /** The id of the task whose end began it: `dependency` itself, or a task on which that one depends. */
  readonly root: number;

  /**
   * Creates an error for a task that cannot run.
   *
   * @param message Which task did not complete, and how it ended.
   * @param tasks The ids of that task and of the one whose end began it.
   */
  constructor(message: string, { dependency, root }: { dependency: number; root: number }) {
    super(message);
    this.dependency = dependency;
    this.root = root;
  }
}

/**
 * The steps that a task has run do not fit its code: the code does not ask for one of them before it begins a new one, or
 * it is older than the code that ran them. The attempt ends without being counted, and is made again later, so that a
 * deployment can fix it.
 *
 * @example
 * ```ts
 * import { StepsChanged } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new StepsChanged("Cannot begin step", { step: "charge card", unasked: ["charge"] });
 * assertEquals(error.unasked, ["charge"]);
 * ```
 */
export class StepsChanged extends FireflyError {
  /** The name of the class. */
  override name = "StepsChanged";
  /** The name of the step that could not begin; null if the `version` of the task's code is too low. */
  readonly step: string | null;
  /** The names of the steps that have run and were not asked for. */
  readonly unasked: readonly string[];

  /**
   * Creates an error for a task whose steps do not fit its code.
   *
   * @param message What failed, and why.
   * @param options `step`: the step that could not begin; `unasked`: the steps that were not asked for.
   */
  constructor(message: string, { step, unasked }: { step: string | null; unasked: readonly string[] }) {
    super(message);
    this.step = step;
    this.unasked = unasked;
  }
}

/**
 * An attempt has ended as its handler waits: for a time, a signal, or other tasks. `current().signal` aborts with this
 * error as its reason, and the handler does not go on: it is called again when the wait has ended. Close there what it
 * holds, as `finally` blocks do not run.
 *
 * @example
 * ```ts
 * import { current, Suspended, task } from "@firefly/tasks";
 *
 * export const watch = task("docs.watch", async (url: string) => {
 *   const { step, signal } = current();
 *   const socket = new WebSocket(url);
 *   signal.addEventListener("abort", () => {
 *     if (signal.reason instanceof Suspended) socket.close();
 *   });
 *   await step.sleep("1h");
 * });
 * ```
 */
export class Suspended extends FireflyError {
  /** The name of the class. */
  override name = "Suspended";
}

/**
 * There is no task with this id, or, for `get()` of a task, it belongs to another one.
 *
 * @example
 * ```ts
 * import { TaskNotFound } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * function toStatus(error: unknown): number {
 *   return error instanceof TaskNotFound ? 404 : 500;
 * }
 *
 * assertEquals(toStatus(new TaskNotFound(7)), 404);
 * ```
 */
export class TaskNotFound extends FireflyError {
  /** The name of the class. */
  override name = "TaskNotFound";
  /** The requested id. */
  readonly id: number;

  /**
   * Creates an error for a missing task.
   *
   * @param id The requested id.
   * @param funcName The name of the requested task, if the id belongs to one of another name.
   */
  constructor(id: number, funcName?: string) {
    super(`Cannot find task ${id}${funcName === undefined ? "" : ` of "${funcName}" as it is of another name`}`);
    this.id = id;
  }
}

/**
 * The task has no step of this name and key. Thrown by `fork()`.
 *
 * @example
 * ```ts
 * import { StepNotFound } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const error = new StepNotFound("Cannot fork task 17", { id: 17, step: "chrage", key: "" });
 * assertEquals([error.id, error.step], [17, "chrage"]);
 * ```
 */
export class StepNotFound extends FireflyError {
  /** The name of the class. */
  override name = "StepNotFound";
  /** The id of the task. */
  readonly id: number;
  /** The name of the step. */
  readonly step: string;
  /** The key of the step; empty if it was given none. */
  readonly key: string;

  /**
   * Creates an error for a missing step.
   *
   * @param message Which steps there are instead.
   * @param options `id`: that of the task; `step`, `key`: what was asked for.
   */
  constructor(message: string, { id, step, key }: { id: number; step: string; key: string }) {
    super(message);
    this.id = id;
    this.step = step;
    this.key = key;
  }
}

/**
 * A task with the same unique key already exists. Thrown by `schedule()` with `onConflict: "error"`, which then inserts
 * nothing, and by `record.retry()`.
 *
 * @example
 * ```ts ignore
 * try {
 *   await send.with({ unique: "user-7", onConflict: "error" }).schedule("user-7");
 * } catch (error) {
 *   if (error instanceof TaskExists) console.log(`${error.funcName} is task ${error.id} already`);
 * }
 * ```
 */
export class TaskExists extends FireflyError {
  /** The name of the class. */
  override name = "TaskExists";
  /** The id of the existing task. */
  readonly id: number;
  /** The name of both tasks. */
  readonly funcName: string;
  /** The unique key that the existing task holds. */
  readonly key: string;

  /**
   * Creates an error for a duplicate.
   *
   * @param action What failed, as in `Cannot ‹action›`.
   * @param duplicate The task that holds the key.
   */
  constructor(action: string, { id, funcName, key }: { id: number; funcName: string; key: string }) {
    super(`Cannot ${action} as task ${id} has its unique key "${key}"`);
    this.id = id;
    this.funcName = funcName;
    this.key = key;
  }
}

/**
 * The embedded PostgreSQL cannot be started, stopped or found. The message says which setting helps.
 *
 * @example
 * ```ts ignore
 * try {
 *   await configure({}).migrate();
 * } catch (error) {
 *   if (!(error instanceof EmbeddedServerError)) throw error;
 *   console.error(error.message); // says which setting helps, such as FIREFLY_DATABASE_URL
 * }
 * ```
 */
export class EmbeddedServerError extends FireflyError {
  /** The name of the class. */
  override name = "EmbeddedServerError";
}
