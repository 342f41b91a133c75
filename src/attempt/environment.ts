import type { ConsumerConfig } from "./consumer_config.ts";
import type { Tag } from "../database/driver.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import type { Emitter } from "../events.ts";
import type { Hooks } from "./hooks.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { CurrentInstance } from "../task/scope.ts";
import type { Sessions } from "../database/sessions.ts";
import type { Settler } from "../settle/settler.ts";
import type { StepSettler } from "../settle/step_settler.ts";
import type { SuspendSettler } from "../settle/suspend_settler.ts";
import type { Statistics } from "../statistics/statistics.ts";
import type { ResultReader } from "./results.ts";
import type { Slots } from "./slots.ts";
import type { LogKeeper } from "../telemetry/kept_log.ts";
import type { Tracing } from "../telemetry/tracing.ts";

/** The objects that all attempts of a consumer share. */
export interface AttemptEnvironment {
  readonly config: ConsumerConfig;
  readonly instance: CurrentInstance;
  readonly sql: Tag;
  readonly sessions: Sessions;
  readonly slots: Slots;
  readonly settler: Settler;
  readonly results: ResultReader;
  readonly stepSettler: StepSettler;
  readonly suspendSettler: SuspendSettler;
  readonly events: Emitter;
  readonly hooks: Hooks;
  /** The keys that decrypt arguments and encrypt results; undefined without encryption. */
  readonly keys: KeyRing | undefined;
  readonly redactor: Redactor;
  /** What counts attempts; undefined if that is switched off. */
  readonly statistics?: Statistics | undefined;
  /** What keeps the log lines of attempts; undefined if nothing does. */
  readonly log?: LogKeeper | undefined;
  /** What makes spans; undefined if that is switched off. */
  readonly tracing?: Tracing | undefined;
}
