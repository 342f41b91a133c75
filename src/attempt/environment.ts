import type { Tag } from "../database/driver.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import type { Emitter } from "../events.ts";
import type { Hooks } from "./hooks.ts";
import type { TaskOptions } from "../task/options.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { CurrentInstance } from "../task/scope.ts";
import type { Sessions } from "../database/session.ts";
import type { Settler } from "../settle/settler.ts";

/** What all attempts of a consumer share. */
export interface AttemptEnvironment {
  readonly instance: CurrentInstance;
  readonly sql: Tag;
  readonly sessions: Sessions;
  readonly settler: Settler;
  readonly events: Emitter;
  readonly hooks: Hooks;
  /** What arguments and results are encrypted with, if they are. */
  readonly keys: KeyRing | undefined;
  readonly redactor: Redactor;
  readonly defaults: Pick<TaskOptions, "maxRetries" | "retryDelay" | "timeout">;
  /** Seconds after which the server ends a transaction whose consumer shows no life. */
  readonly lease: number;
}
