import type { LazyAbortController } from "./lazy_abort.ts";
import type { Tag } from "../database/driver.ts";
import { isServerFault } from "../database/error_codes.ts";
import type { AttemptInfo, Emitter } from "../events.ts";
import { Progress, type ProgressReport } from "./progress.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { Logger, TaskContext } from "../task/scope.ts";
import type { ClaimedTask } from "../store/claim.ts";
import { storeProgress } from "../store/settle.ts";
import type { Transaction } from "../database/transaction.ts";
import { partsOf } from "../thrown.ts";
import { toAscii, toStorable } from "../wire/format.ts";

/** The parts of an {@linkcode AttemptContext}. */
export interface ContextParts {
  readonly task: ClaimedTask;
  readonly info: AttemptInfo;
  readonly env: { readonly sql: Tag; readonly events: Emitter; readonly redactor: Redactor };
  readonly lastAttempt: boolean;
  readonly abort: LazyAbortController;
  readonly transaction: Transaction;
}

/** What `current()` returns while a handler runs. Parts that few handlers use are made on first use. */
export class AttemptContext {
  readonly #parts: ContextParts;
  readonly context: TaskContext;
  #progress: Progress | undefined;
  #ended = false;

  constructor(parts: ContextParts) {
    const { task, lastAttempt, abort, transaction } = this.#parts = parts;
    const makeLogger = () => this.#logger();
    let log: Logger | undefined;
    this.context = {
      queued: true,
      id: task.id,
      attempt: task.attempt,
      lastAttempt,
      get signal() {
        return abort.signal;
      },
      get sql() {
        return transaction.sql;
      },
      get log() {
        return log ??= makeLogger();
      },
      progress: (value, note) => this.#report(value, note),
    };
  }

  /** Ignores further reports: the handler has returned, or was abandoned. */
  end(): void {
    this.#ended = true;
    this.#progress?.end();
  }

  #logger(): Logger {
    const { info, env: { events, redactor } } = this.#parts;
    const log = (level: keyof Logger) => (message: string, fields: object = {}) =>
      events.emit("log", {
        ...info,
        level,
        message: redactor.redactText(partsOf(message).message, ["message"]), // it may be an error, or anything else
        fields: redactor.redact(fields ?? {}, ["fields"]),
      });
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
