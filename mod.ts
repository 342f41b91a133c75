/**
 * Firefly: a task queue on Postgres. Tasks are plain functions; the database is the queue.
 *
 * @example Define a task, schedule it, consume it, read the result
 * ```ts ignore
 * import { consume, task } from "@firefly/tasks";
 *
 * const add = task({ name: "math.add", maxRetries: 3, retryDelay: 10 })((i: number, j: number) => i + j);
 *
 * await using consumer = consume();
 * console.log(await add.schedule(1, 3).result()); // 4
 * ```
 *
 * @module
 */
export type { Backoff, RetryDelay } from "./src/backoff.ts";
export type { PostgresOptions } from "./src/connection.ts";
export type { ConsumeOptions, Consumer, ConsumerHealth } from "./src/consume.ts";
export { type Config, defineConfig } from "./src/config.ts";
export { current, Fail, Retry } from "./src/context.ts";
export type { Duration } from "./src/duration.ts";
export {
  CommitUnknown,
  DatabaseUnreachable,
  DecryptionFailed,
  EmbeddedServerError,
  FireflyError,
  FireflyFormatError,
  FireflyLimitError,
  LeaseLost,
  SchemaMismatch,
  type SchemaMismatchReason,
  TaskCancelled,
  TaskExists,
  TaskNotFound,
} from "./src/errors.ts";
export type { Encryption } from "./src/encryption.ts";
export type { Explanation, Reason, ReasonError, SlotHolder } from "./src/explanation.ts";
export type { AttemptInfo, Events } from "./src/events.ts";
export { configure, consume, Firefly, tasks, transaction } from "./src/firefly.ts";
export type { FireflyOptions } from "./src/instance_options.ts";
export type { OnFailed } from "./src/hooks.ts";
export type { Middleware } from "./src/middleware.ts";
export type { MigrationState } from "./src/migrator.ts";
export type {
  Concurrency,
  CronOptions,
  QueueOptions,
  RateLimit,
  Retention,
  ScheduleOptions,
  TaskOptions,
  Unique,
  When,
} from "./src/options.ts";
export type { PruneOptions, PruneProgress } from "./src/prune.ts";
export type { Page, PageOptions, TaskError, TaskFilter, TaskRecord, TaskStatus, WaitOptions } from "./src/record.ts";
export type { BulkOptions, Tasks } from "./src/records.ts";
export { TaskFailed } from "./src/stored_task.ts";
export type { Logger, TaskContext } from "./src/scope.ts";
export type { Queryable, Sql } from "./src/sql.ts";
export type { QueueState } from "./src/store/queues.ts";
export { type Redact, SENSITIVE_KEYS } from "./src/redaction.ts";
export type { SchemaIssue, SchemaResult, StandardSchemaV1 } from "./src/standard_schema.ts";
export type { Atom, Check, NotStorable, Storable } from "./src/storable.ts";
export { ValidationFailed } from "./src/validation.ts";
export { type Schedulable, type Scheduled, type Spec, type Task, task, type TaskFunction } from "./src/task.ts";
