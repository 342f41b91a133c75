/**
 * A Postgres task queue: tasks are plain TypeScript functions, and your database is the queue.
 *
 * `schedule()` inserts a row into your database, in your own transaction if you like. Consumers wake on `NOTIFY`, run
 * the function, and store its result or error, which you can query with plain SQL.
 *
 * @example Define a task, start a consumer, schedule the task, wait for its result
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
export type { Backoff, RecordedDelay, RetryDelay } from "./src/task/backoff.ts";
export type { AlertOptions, AlertWebhook, BacklogOptions, FailedOptions } from "./src/alerts/options.ts";
export type { PostgresOptions } from "./src/database/settings.ts";
export type { Consumer, ConsumerHealth } from "./src/consume/consume.ts";
export type { ConsumeOptions } from "./src/consume/options.ts";
export { type Config, type ConsumeCommandOptions, defineConfig } from "./src/firefly/config.ts";
export { current, Fail, Retry } from "./src/task/context.ts";
export type { Duration } from "./src/duration.ts";
export {
  CommitUnknown,
  DatabaseUnreachable,
  DecryptionFailed,
  DependencyFailed,
  EmbeddedServerError,
  FireflyError,
  FireflyFormatError,
  FireflyLimitError,
  InstanceClosed,
  LeaseLost,
  SchemaMismatch,
  type SchemaMismatchReason,
  StepNotFound,
  StepsChanged,
  Suspended,
  TaskCancelled,
  TaskExists,
  TaskNotFound,
} from "./src/errors.ts";
export type { Encryption } from "./src/privacy/encryption.ts";
export type { Explanation, OpenDependency, Reason, ReasonError, SlotHolder } from "./src/task/explanation.ts";
export type { AttemptedBy, AttemptInfo, Events, StepEventInfo } from "./src/events.ts";
export { configure, consume, tasks, transaction } from "./src/firefly/default.ts";
export { Firefly } from "./src/firefly/firefly.ts";
export { httpStatus } from "./src/firefly/http_status.ts";
export type { CategoryLogger } from "./src/telemetry/logger.ts";
export type { TracingOptions } from "./src/telemetry/tracing.ts";
export type { FireflyOptions } from "./src/firefly/options.ts";
export type { OnFailed } from "./src/attempt/hooks.ts";
export type { Middleware } from "./src/attempt/middleware.ts";
export type { MigrationState } from "./src/schema/migrator.ts";
export type {
  Concurrency,
  CronOptions,
  KeepLogs,
  KeyFunction,
  QueueOptions,
  RateLimit,
  Retention,
  ScheduleOptions,
  TaskOptions,
  Unique,
  When,
} from "./src/task/options.ts";
export type { PruneOptions, PruneProgress } from "./src/records/prune.ts";
export type {
  ForkOptions,
  LeftReason,
  LeftTask,
  Page,
  PageOptions,
  RescheduleOptions,
  TaskCounts,
  TaskError,
  TaskFilter,
  TaskGroup,
  TaskGrouping,
  TaskLogLine,
  TaskRecord,
  TaskState,
  TaskStatus,
  WaitOptions,
} from "./src/task/record.ts";
export type { BulkOptions } from "./src/records/bulk.ts";
export type { Tasks } from "./src/records/tasks.ts";
export { TaskFailed } from "./src/records/task_failed.ts";
export type { Argument, Arguments, ResultOf } from "./src/task/result_of.ts";
export { type Settled, settled } from "./src/task/settled.ts";
export type { Logger, TaskContext } from "./src/task/scope.ts";
export type { Queryable, Sql } from "./src/sql.ts";
export type { ConsumerState, RunningTask } from "./src/store/consumer_records.ts";
export type { PauseOptions, QueueState } from "./src/store/queues.ts";
export { type Redact, SENSITIVE_KEYS } from "./src/privacy/redaction.ts";
export type {
  AnySchema,
  InputOf,
  OutputOf,
  SchemaIssue,
  SchemaResult,
  StandardSchemaV1,
} from "./src/task/standard_schema.ts";
export type { Atom, Storable } from "./src/task/storable.ts";
export type { Payload, Signal, SignalOptions, SignalTarget } from "./src/task/signal.ts";
export { signal } from "./src/task/define_signal.ts";
export type { Step, WaitForOptions } from "./src/task/step.ts";
export type { StepInfo, StepOptions } from "./src/task/step_options.ts";
export type { GraphNode, StepRecord } from "./src/task/step_record.ts";
export { ValidationFailed } from "./src/task/validation.ts";
export { task } from "./src/task/task.ts";
export { parseTaskId } from "./src/task/task_id.ts";
export type { Schedulable, Scheduled, ScheduledMany, Task, TaskFunction, TaskSpec } from "./src/task/signature.ts";
