import type { PostgresOptions } from "../database/settings.ts";
import { checkRetention } from "../task/definition.ts";
import type { Encryption } from "../privacy/encryption.ts";
import type { OnFailed } from "../attempt/hooks.ts";
import type { QueueOptions, TaskOptions } from "../task/options.ts";
import type { Redact } from "../privacy/redaction.ts";
import { checkQueues } from "../task/queue_options.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** What an instance is configured with. */
export interface FireflyOptions {
  /**
   * The database, as a URL or field by field.
   *
   * @default `FIREFLY_DATABASE_URL`, `DATABASE_URL`, or `PGHOST` and its friends, else the embedded server
   */
  database?: string | PostgresOptions;
  /** A direct URL for LISTEN where `database` is a transaction pooler. */
  listenDatabase?: string;
  /** The schema that all of Firefly's tables are in. @default "firefly" */
  schema?: string;
  /**
   * What tasks take that do not say otherwise. Unless `retention` is among it, completed records are kept for 7 days,
   * and failed and cancelled ones for 30: `retention: Infinity` keeps all of them for ever.
   */
  defaults?: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout" | "retention">;
  /** What holds for queues, by their names: stored by each consumer of this instance when it starts. */
  queues?: Record<string, QueueOptions>;
  /**
   * Called with a task that failed for good, in the process whose consumer saw it fail, beside the consumer's loop. What
   * it throws becomes a `hook.error` event. It is called at most once for a failure: if the process dies at that moment,
   * the record alone tells of it.
   */
  onFailed?: OnFailed;
  /**
   * Encrypts the arguments and the results of tasks in the database, with AES-256-GCM. What is not encrypted is read as
   * it is, so it may be turned on at any time. Names, queues, times, tags, unique keys of your own, keys of limits,
   * notes of progress and errors stay readable: see docs/encryption.md.
   */
  encryption?: Encryption;
  /**
   * What logs, stored errors and the command line show as `"[redacted]"`: the names of members, compared without case
   * and separators and at the end of longer names too (`"token"` hides `access_token`), or patterns for names; or a
   * function that returns what is to be shown of a value. It never changes what a handler gets, or what is stored as
   * arguments and results. An empty list hides nothing.
   *
   * @default {@linkcode SENSITIVE_KEYS}
   */
  redact?: Redact;
  /** Told what a first start of the embedded server is busy with. */
  onProgress?: (message: string) => void;
}

/** The schema of an instance that names none. */
export const DEFAULT_SCHEMA = "firefly";

/** What an instance can be told. */
export const OPTION_KEYS: readonly string[] = [
  "database",
  "listenDatabase",
  "schema",
  "defaults",
  "queues",
  "onFailed",
  "encryption",
  "redact",
  "onProgress",
];
/** What the options are for, in errors. */
export const ACTION = "make an instance";

/**
 * Checks the options of an instance, before any I/O.
 *
 * @throws {TypeError | RangeError} If one is wrong.
 */
export function checkOptions(options: FireflyOptions): void {
  refuseUnknownKeys(options, OPTION_KEYS, ACTION);
  const { schema = DEFAULT_SCHEMA, defaults, queues } = options;
  checkSchema(schema);
  if (defaults?.retention !== undefined) checkRetention(defaults.retention, ACTION);
  checkQueues(queues ?? {}, ACTION, schema);
}

/** Names that a channel's name can begin with, and that a migration can quote. */
function checkSchema(schema: string): void {
  if (/^[^\0$:]{1,40}$/.test(schema)) return;
  throw new RangeError(
    `Cannot use the schema as its name must be 1 to 40 characters without "$", ":" and NUL: current value is ${
      JSON.stringify(schema)
    }`,
  );
}
