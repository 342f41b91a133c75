/**
 * The base of every error that callers may want to catch.
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

/** A value that was read from `params` or `returned` is not in the wire format. */
export class FireflyFormatError extends FireflyError {
  /** The name of the class. */
  override name = "FireflyFormatError";
}

/** A value is over one of the wire format's limits: bytes, depth, length or digits. */
export class FireflyLimitError extends RangeError {
  /** The name of the class. */
  override name = "FireflyLimitError";
}

/**
 * A stored value is encrypted and cannot be read here. Reading `params` or `returned` of a record throws it; a task whose
 * arguments no key of its consumer can read is put off, and one whose arguments were tampered with fails.
 */
export class DecryptionFailed extends FireflyError {
  /** The name of the class. */
  override name = "DecryptionFailed";
  /** The id of the key that encrypted the value; empty if the value is too damaged to tell. */
  readonly keyId: string;
  /** Whether the instance has no key of this id. If it has, the value is not what was encrypted for this place. */
  readonly isKeyMissing: boolean;

  /**
   * Says why a value cannot be read.
   *
   * @param message Why.
   * @param options `keyId`: the key's id; `isKeyMissing`: whether it is not there.
   */
  constructor(message: string, { keyId, isKeyMissing = false }: { keyId: string; isKeyMissing?: boolean }) {
    super(message);
    this.keyId = keyId;
    this.isKeyMissing = isKeyMissing;
  }
}

/** The database cannot be reached, went away, or did not answer in time. */
export class DatabaseUnreachable extends FireflyError {
  /** The name of the class. */
  override name = "DatabaseUnreachable";
  /** Whether the server answered with a no, such as for a wrong password: trying again is of no use. */
  readonly refused: boolean;

  /**
   * Says what cannot be reached.
   *
   * @param message What was tried, and what became of it.
   * @param options `refused`: whether the server said no; `cause`: the driver's error.
   */
  constructor(message: string, { refused = false, ...options }: ErrorOptions & { refused?: boolean } = {}) {
    super(message, options);
    this.refused = refused;
  }
}

/**
 * Why a schema does not serve: it or part of it is `missing`, it is `older` than this package needs or `newer` than it
 * can work with, or a migration was `edited` after it was applied.
 */
export type SchemaMismatchReason = "missing" | "older" | "newer" | "edited";

/** The schema is missing, older than this package needs, newer than it can work with, or made by other migrations. */
export class SchemaMismatch extends FireflyError {
  /** The name of the class. */
  override name = "SchemaMismatch";
  /** Why the schema does not serve. */
  readonly reason: SchemaMismatchReason;

  /**
   * Says why the schema does not serve.
   *
   * @param message What was tried, and what is in its way.
   * @param options `reason`: why the schema does not serve; `cause`: the driver's error.
   */
  constructor(message: string, { reason, ...options }: ErrorOptions & { reason: SchemaMismatchReason }) {
    super(message, options);
    this.reason = reason;
  }
}

/** The connection was lost during COMMIT, so that it is not known whether the transaction took effect. */
export class CommitUnknown extends FireflyError {
  /** The name of the class. */
  override name = "CommitUnknown";
}

/** An attempt no longer holds its task: the task was rescued, cancelled or retried, and may run elsewhere. */
export class LeaseLost extends FireflyError {
  /** The name of the class. */
  override name = "LeaseLost";
}

/**
 * The task of this attempt was cancelled. It is the reason that `current().signal` aborts with; whatever the handler
 * does from then on is undone, or refused.
 */
export class TaskCancelled extends LeaseLost {
  /** The name of the class. */
  override name = "TaskCancelled";
}

/** No task has the id. */
export class TaskNotFound extends FireflyError {
  /** The name of the class. */
  override name = "TaskNotFound";
  /** The id that was asked for. */
  readonly id: number;

  /**
   * Says which task is missing.
   *
   * @param id The id that was asked for.
   */
  constructor(id: number) {
    super(`Cannot find task ${id}`);
    this.id = id;
  }
}

/**
 * A duplicate of a unique task keeps it away: thrown when scheduling with `onConflict: "error"`, which then schedules
 * nothing, and by a record's `retry()`.
 */
export class TaskExists extends FireflyError {
  /** The name of the class. */
  override name = "TaskExists";
  /** The id of the duplicate. */
  readonly id: number;
  /** The name of both tasks. */
  readonly funcName: string;
  /** The unique key that the duplicate holds. */
  readonly key: string;

  /**
   * Says which task is in the way.
   *
   * @param action What cannot be done.
   * @param duplicate The task that holds the key.
   */
  constructor(action: string, { id, funcName, key }: { id: number; funcName: string; key: string }) {
    super(`Cannot ${action} as task ${id} has its unique key "${key}"`);
    this.id = id;
    this.funcName = funcName;
    this.key = key;
  }
}

/** The embedded PostgreSQL cannot be started, stopped or found: the message says what to set instead. */
export class EmbeddedServerError extends FireflyError {
  /** The name of the class. */
  override name = "EmbeddedServerError";
}
