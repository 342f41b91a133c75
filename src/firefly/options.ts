import type { AlertOptions } from "../alerts/options.ts";
import { checkPostgresOptions, type PostgresOptions } from "../database/settings.ts";
import { checkDefaults } from "../task/definition.ts";
import type { Encryption } from "../privacy/encryption.ts";
import type { OnFailed } from "../attempt/hooks.ts";
import type { QueueOptions, TaskOptions } from "../task/options.ts";
import type { Redact } from "../privacy/redaction.ts";
import { checkQueues } from "../task/queue_options.ts";
import type { CategoryLogger } from "../telemetry/logger.ts";
import { checkTracing, type TracingOptions } from "../telemetry/tracing.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** The configuration of an instance. */
export interface FireflyOptions {
  /**
   * The database, as a URL or field by field; `"embedded"` for the PostgreSQL that Firefly starts on this machine. Without
   * it and without a variable that names a database, the embedded one is used only where `FIREFLY_EMBEDDED=1` asks for it
   * or a person sits at a terminal; else the first use throws {@linkcode DatabaseUnreachable}.
   *
   * @default `FIREFLY_DATABASE_URL`, else `DATABASE_URL`, else the `PG*` variables
   */
  database?: string | PostgresOptions;
  /** A direct URL for LISTEN, if `database` leads to a transaction pooler. */
  listenDatabase?: string;
  /** The schema of Firefly's tables. @default "firefly" */
  schema?: string;
  /**
   * Defaults for tasks that do not set them. Without `retention`, completed records are kept for 7 days, failed and
   * cancelled ones for 30 days; `retention: Infinity` keeps all records forever.
   */
  defaults?: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout" | "retention" | "keepLogs">;
  /** Options of queues, by name. Each consumer of this instance stores them when it starts. */
  queues?: Record<string, QueueOptions>;
  /**
   * Called with each task that failed for good, in the process of the consumer that recorded the failure; the consumer
   * does not wait for it. If it throws, a `hook.error` event is emitted. It is called at most once per failure: if the
   * process crashes at that moment, only the record shows the failure.
   */
  onFailed?: OnFailed;
  /**
   * Encrypts the arguments and results of tasks in the database with AES-256-GCM. Existing unencrypted values stay
   * readable, so encryption can be turned on at any time. Names, queues, times, tags, your own unique keys, limit keys,
   * progress notes and errors are not encrypted: see docs/encryption.md.
   */
  encryption?: Encryption;
  /**
   * Values that logs, stored errors and the command line show as `"[redacted]"`: a list of member names and patterns,
   * or a function that returns the replacement of a value. Names are compared without case and separators, also with
   * the end of longer names (`"token"` hides `access_token`). Handlers and stored arguments and results are never
   * redacted. An empty list redacts nothing.
   *
   * @default {@linkcode SENSITIVE_KEYS}
   */
  redact?: Redact;
  /**
   * Whether consumers of this instance count what their attempts do, and write it by the minute, for the dashboard: see
   * docs/statistics.md. @default true
   */
  statistics?: boolean;
  /**
   * Tells a webhook of failed tasks, backlogs and lost consumers, while an instance with this option consumes: see
   * docs/alerts.md. @default none
   */
  alerts?: AlertOptions;
  /**
   * Logs what happens, and what handlers log, through this logger of LogTape or one like it: see docs/logs.md.
   * @default none
   */
  logger?: CategoryLogger;
  /**
   * Whether to make spans of what this instance does, and how, if the application has registered a tracer provider of
   * OpenTelemetry: see docs/tracing.md. @default true
   */
  tracing?: boolean | TracingOptions;
  /** Receives progress messages during the first start of the embedded server. */
  onProgress?: (message: string) => void;
}

/** The schema of an instance that does not set one. */
export const DEFAULT_SCHEMA = "firefly";

/** The names of an instance's options. */
export const OPTION_KEYS: readonly string[] = [
  "database",
  "listenDatabase",
  "schema",
  "defaults",
  "queues",
  "onFailed",
  "encryption",
  "redact",
  "statistics",
  "alerts",
  "logger",
  "tracing",
  "onProgress",
];
/** The names of the options that only the command line uses: `firefly.config.ts` may be passed to `configure()` as it is. */
export const COMMAND_LINE_KEYS: readonly string[] = ["tasks", "consume"];
/** The action in errors about these options. */
export const CREATE_INSTANCE = "make an instance";

/**
 * Checks the options of an instance, before any I/O.
 *
 * @throws {TypeError | RangeError} If one is wrong.
 */
export function checkFireflyOptions(options: FireflyOptions): void {
  refuseUnknownKeys(options, [...OPTION_KEYS, ...COMMAND_LINE_KEYS], CREATE_INSTANCE);
  const { database, schema = DEFAULT_SCHEMA, defaults, queues, statistics } = options;
  if (typeof database === "object" && database !== null) checkPostgresOptions(database, CREATE_INSTANCE);
  else if (database !== undefined && typeof database !== "string") {
    throw new TypeError(`Cannot ${CREATE_INSTANCE} as "database" must be a URL, or an object of options`);
  }
  checkSchema(schema);
  if (defaults !== undefined) checkDefaults(defaults, CREATE_INSTANCE);
  checkQueues(queues ?? {}, CREATE_INSTANCE, schema);
  if (options.logger !== undefined && typeof options.logger?.getChild !== "function") {
    throw new TypeError(`Cannot ${CREATE_INSTANCE} as "logger" must be a logger with categories, as LogTape has them`);
  }
  checkTracing(options.tracing, CREATE_INSTANCE);
  if (statistics === undefined || typeof statistics === "boolean") return;
  throw new TypeError(
    `Cannot ${CREATE_INSTANCE} as "statistics" must be true or false: current value is ${JSON.stringify(statistics)}`,
  );
}

/** Refuses names that cannot be the start of a channel's name, or that a migration cannot quote. */
function checkSchema(schema: string): void {
  if (/^[^\0$:]{1,40}$/.test(schema)) return;
  throw new RangeError(
    `Cannot use the schema as its name must be 1 to 40 characters without "$", ":" and NUL: current value is ${
      JSON.stringify(schema)
    }`,
  );
}
