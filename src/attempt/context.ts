import type { AttemptEnvironment } from "./environment.ts";
import { LazyAbortController } from "./lazy_abort.ts";
import { isServerFault } from "../database/error_codes.ts";
import type { TaskDefinition } from "../task/definition.ts";
import type { AttemptInfo } from "../events.ts";
import { Progress, type ProgressReport } from "./progress.ts";
import { maxRetriesOf } from "../settle/retry_decision.ts";
import type { Logger, TaskContext } from "../task/scope.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import { storeProgress } from "../store/settle.ts";
import { loadSteps } from "../steps/load_steps.ts";
import { Steps } from "../steps/steps.ts";
import { attemptTransaction } from "../database/attempt_transaction.ts";
import type { Transaction } from "../database/transaction.ts";
import type { AttemptSpan } from "../telemetry/attempt_span.ts";
import { partsOf } from "../thrown.ts";
import { toAscii, toStorable } from "../wire/format.ts";

/** The attempt that an {@linkcode AttemptContext} belongs to. */
export interface ContextParts {
  readonly task: ClaimedTask;
  readonly definition: TaskDefinition;
  readonly info: AttemptInfo;
  readonly env: Omit<AttemptEnvironment, "hooks" | "settler" | "slots" | "tracing">;
  /** The span of the attempt; undefined if it has none. */
  readonly span: AttemptSpan | undefined;
}

/**
 * What the handler of an attempt can ask for: what `current()` returns, its transaction, and its signal. Each part is
 * made on first use, as few handlers use it.
 */
export class AttemptContext {
  readonly #parts: ContextParts;
  /** Aborts the handler's signal. */
  readonly abortController: LazyAbortController = new LazyAbortController();
  #context: TaskContext | undefined;
  #transaction: Transaction | undefined;
  #progress: Progress | undefined;
  #steps: Steps | undefined;
  #ended = false;

  constructor(parts: ContextParts) {
    this.#parts = parts;
  }

  /** What `current()` returns. */
  get context(): TaskContext {
    return this.#context ??= this.#make();
  }

  /** The handler's transaction, which commits together with the task. After the end, one that has ended. */
  get transaction(): Transaction {
    if (!this.#transaction) {
      const { sessions, sql: { schemaName: schema }, config: { leaseMs } } = this.#parts.env;
      this.#transaction = attemptTransaction(sessions, { schema, leaseMs });
      if (this.#ended) this.#transaction.abandon();
    }
    return this.#transaction;
  }

  /** The transaction, if the handler has asked for it. */
  get usedTransaction(): Transaction | undefined {
    return this.#transaction;
  }

  /** The steps of the handler. */
  get steps(): Steps {
    if (!this.#steps) {
      const { task, definition, info, env, span } = this.#parts;
      const { events, statistics } = env;
      const { context, abortController } = this;
      const hasBegun = () => this.#transaction?.begun ?? false;
      this.#steps = new Steps({
        task,
        definition,
        env,
        context,
        observers: { info, events, counts: statistics?.steps, span },
        get hasBegun() {
          return hasBegun();
        },
        read: (version) => loadSteps(task, { ...env, version }),
        abort: (reason) => abortController.abort(reason),
      });
      if (this.#ended) this.#steps.stop();
    }
    return this.#steps;
  }

  /** The steps, if the handler has asked for them. */
  get usedSteps(): Steps | undefined {
    return this.#steps;
  }

  /** Takes no more reports, no transaction and no steps: the handler has returned, or was abandoned. */
  end(): void {
    this.#ended = true;
    this.#progress?.end();
    this.#steps?.stop();
  }

  #make(): TaskContext {
    const { task, definition, env: { config: { defaults } } } = this.#parts;
    const { abortController } = this;
    const transaction = () => this.transaction;
    const steps = () => this.steps;
    const makeLogger = () => this.#logger();
    let log: Logger | undefined;
    return {
      queued: true,
      id: task.id,
      attempt: task.attempt,
      lastAttempt: task.retryAttempts >= maxRetriesOf({ task, definition, defaults }),
      get signal() {
        return abortController.signal;
      },
      get sql() {
        return transaction().sql;
      },
      get step() {
        return steps().step;
      },
      get version() {
        return steps().firstVersion;
      },
      get log() {
        return log ??= makeLogger();
      },
      progress: (value, note) => this.#report(value, note),
    };
  }

  #logger(): Logger {
    const { info, task, span, definition, env } = this.#parts;
    const { events, redactor } = env;
    const traceId = span?.traceId ?? null;
    const keep = env.log?.of(task, definition.keepLogs ?? env.config.defaults.keepLogs);
    const log = (level: keyof Logger) => (message: string, fields: object = {}) => {
      const line = {
        step: this.#steps?.current ?? null, // that of the code that logs, not of the code that asked for the log
        level,
        message: redactor.redactText(partsOf(message).message, ["message"]), // it may be an error, or anything else
        fields: redactor.redact(fields ?? {}, ["fields"]),
      };
      events.emit("log", { ...info, traceId, ...line });
      keep?.(line);
    };
    return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  }

  async #report(value: number, note?: string): Promise<void> {
    if (!(value >= 0 && value <= 1)) {
      throw new RangeError(`Cannot report progress as it must be between 0 and 1: current value is ${value}`);
    }
    if (this.#ended) return;
    const warn = () => this.#logger().warn("Cannot store progress");
    this.#progress ??= new Progress((report) => this.#store(report), warn);
    try {
      await this.#progress.report({ value, note: note === undefined || note === null ? null : toStorable(`${note}`) });
    } catch {
      warn(); // a lost progress update must not fail the task
    }
  }

  /** Stores a report; without the characters that the database's encoding lacks, if it refuses the note. */
  async #store(report: ProgressReport): Promise<void> {
    const { env: { sql }, task: { id, claimSeq } } = this.#parts;
    const { value, note } = report;
    const store = (note: string | null) => storeProgress(sql, { id, claimSeq, value, note });
    await store(note).catch((error) =>
      note === null || isServerFault(error) ? Promise.reject(error) : store(toAscii(note))
    );
  }
}
