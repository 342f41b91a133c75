import { isServerFault } from "../database/error_codes.ts";
import { FireflyError, StepsChanged } from "../errors.ts";
import type { ErrorDescription } from "../settle/error_record.ts";
import { noteCompensates } from "../store/compensation.ts";
import type { NewStep } from "../store/steps.ts";
import { COMPENSATE, type StepCompensation, type StepOptions } from "../task/step_options.ts";
import type { AskedStep, StepsHost } from "./host.ts";
import type { LoadedStep } from "./load_steps.ts";
import { identityOf } from "./replay.ts";

/** The name of the step that says that a task compensates. No step of a handler has it. */
export const MARKER = COMPENSATE;

/** A step that is to be compensated: its name, its key, and whether its code is known to compensate it. */
export type Planned = readonly [name: string, key: string, isKnown: boolean];

/** What a task stores that compensates: the error for which it fails, and which steps it compensates. */
export interface MarkerError extends ErrorDescription {
  readonly plan: readonly Planned[];
  /** The process whose attempt failed, as `consumer_process` has it. */
  readonly by: number | null;
}

/** A step to be compensated, and how. */
export interface Undo extends Completed, Code {}

/** A step that has completed. */
interface Completed {
  readonly name: string;
  readonly key: string;
  readonly seq: number;
  /** The encoded result; decrypted if it was read from the database. */
  readonly returned: string | null;
}

/** How the code runs and compensates a step. */
interface Code {
  readonly options: StepOptions;
  readonly compensate: StepCompensation;
}

/** Ends an attempt of a task that compensates, once its handler has asked for all steps whose code that needs. */
export class CompensationDue extends FireflyError {
  override name = "CompensationDue";
}

/**
 * What an attempt knows of compensating its steps: which of them have completed, and how the code compensates those that
 * it has asked for. In a task that compensates, the handler is called only for that: it gets the stored results back, so
 * that it comes by its steps again, and begins none that is new.
 */
export class Compensation {
  readonly #host: StepsHost;
  /** Of the steps that can be compensated, by the names and keys under which they may be stored. */
  readonly #code = new Map<string, Code>();
  /** Those of them that completed in this attempt. */
  readonly #completed = new Map<string, Completed>();
  /** The planned steps whose code is needed and was not asked for. */
  readonly #missing = new Map<string, Planned>();
  /** What earlier attempts have stored; undefined if it was not read. */
  #rows: readonly LoadedStep[] | undefined;
  /** The compensations among them, by the name and key of their steps. */
  readonly #compensations = new Map<string, LoadedStep>();
  #marker: LoadedStep | undefined;
  #noted: Promise<void> | undefined;

  constructor(host: StepsHost) {
    this.#host = host;
  }

  /** What was stored when the task began to compensate, if it did: from then on it can only fail. */
  get marker(): LoadedStep | undefined {
    return this.#marker;
  }

  /** Whether all of it is done, and only the end of the task is missing. */
  get isDone(): boolean {
    return this.#marker !== undefined && this.#marker.status !== "waiting";
  }

  /** Whether the task may have steps to compensate. */
  get isPossible(): boolean {
    return this.#noted !== undefined || this.#host.task.compensates;
  }

  /** Whether the task may have such steps, and they could not be read. */
  get isUnread(): boolean {
    return this.#host.task.compensates && !this.#rows;
  }

  /** The last place in the order of the stored steps. */
  get lastSeq(): number {
    return (this.#rows ?? []).reduce((last, { seq }) => Math.max(last, seq ?? 0), 0);
  }

  /**
   * Takes what is stored of the task. Returns why the attempt ends by that, if it does: the task compensates, and needs
   * nothing of its handler.
   */
  onLoaded(rows: readonly LoadedStep[]): CompensationDue | undefined {
    this.#rows = rows;
    for (const row of rows) {
      if (row.kind !== "compensation") continue;
      if (row.name === MARKER) this.#marker = row;
      else this.#compensations.set(identityOf(row.name.slice(MARKER.length + 1), row.key), row);
    }
    if (!this.#marker) return undefined;
    const completed = new Set(this.#stored().map(({ name, key }) => identityOf(name, key)));
    for (const planned of this.isDone ? [] : planOf(this.#marker)) {
      const [name, key] = planned;
      const identity = identityOf(name, key);
      if (completed.has(identity) && !this.#hasEnded(name, key)) this.#missing.set(identity, planned);
    }
    return this.#missing.size === 0 ? this.#due() : undefined;
  }

  /** Whether the handler of a task that compensates must ask for a stored step. */
  isMissing({ name, key }: Pick<LoadedStep, "name" | "key">): boolean {
    return this.#missing.has(identityOf(name, key));
  }

  /**
   * Takes note of the code of a step that the handler asks for. Returns why the attempt ends by that, if it does: all code
   * is there that was missing, or some is gone.
   */
  onAsked({ name, aliases = [], kind, options, compensate }: AskedStep, key: string): Error | undefined {
    if (kind !== "step" || !options || !compensate && !this.#marker) return undefined;
    if (!this.#marker) void this.note();
    let wasMissing = false;
    for (const each of [name, ...aliases]) {
      const identity = identityOf(each, key);
      if (compensate) this.#code.set(identity, { options, compensate });
      else if (this.#missing.get(identity)?.[2]) return this.changed();
      wasMissing = this.#missing.delete(identity) || wasMissing;
    }
    return wasMissing && this.#missing.size === 0 ? this.#due() : undefined;
  }

  /**
   * Notes in the database that the task has steps to compensate, unless that is there. Resolves when it is: before that,
   * none of them may begin.
   */
  note(): Promise<void> {
    if (this.#host.task.compensates) return Promise.resolve();
    if (!this.#noted) {
      this.#noted = this.#note();
      this.#noted.catch(() => {}); // the step that waits for it gets it
    }
    return this.#noted;
  }

  /** Takes note of a step that has completed, and can be compensated. */
  onCompleted({ name, key, seq, returned }: NewStep): void {
    if (seq !== null) this.#completed.set(identityOf(name, key), { name, key, seq, returned });
  }

  /**
   * The steps that are to be compensated as the task fails, in the order in which they completed. Among them are stored
   * ones that the handler did not come by in this attempt, as it may compensate them. With `isAborted`, the handler was
   * ended from outside: then one may be among them that is just being stored.
   */
  plan({ wasAsked, isAborted, version }: {
    wasAsked(step: LoadedStep): boolean;
    isAborted: boolean;
    version: number;
  }): Planned[] {
    const stored = this.#stored();
    const plan = stored.flatMap((step): Planned[] => {
      const { name, key } = step;
      if (this.#code.has(identityOf(name, key))) return [[name, key, true]];
      return wasAsked(step) || step.version < version ? [] : [[name, key, false]];
    });
    const completed = [...this.#completed.values()].sort((a, b) => a.seq - b.seq);
    plan.push(...completed.map(({ name, key }): Planned => [name, key, true]));
    if (!isAborted) return plan;
    const known = new Set(plan.map(([name, key]) => identityOf(name, key)));
    const begun = this.#code.keys().filter((identity) => !known.has(identity));
    return [...plan, ...begun.map((identity): Planned => [...JSON.parse(identity) as [string, string], true])];
  }

  /** What is to be undone of a plan and is not, the last step first; undefined if the code of one is not known here. */
  undos(plan: readonly Planned[]): Undo[] | undefined {
    const stored = this.#stored().map((step) => [identityOf(step.name, step.key), step] as const);
    const completed = new Map<string, Completed>([...stored, ...this.#completed]);
    const undos: Undo[] = [];
    for (const [name, key, isKnown] of plan) {
      const identity = identityOf(name, key);
      const step = completed.get(identity);
      if (!step || this.#hasEnded(name, key)) continue;
      const code = this.#code.get(identity);
      if (code) undos.push({ name, key, seq: step.seq, returned: step.returned, ...code });
      else if (isKnown || !this.#marker) return undefined;
    }
    return undos.sort((a, b) => b.seq - a.seq);
  }

  /** What is stored of the compensation of a step. */
  storedOf({ name, key }: Pick<Undo, "name" | "key">): LoadedStep | undefined {
    return this.#compensations.get(identityOf(name, key));
  }

  /** Why a task that compensates cannot go on with this code. */
  changed(cause?: unknown): StepsChanged {
    const names = [...new Set(this.#missing.values().map(([name]) => name))];
    const listed = names.map((name) => `"${name}"`).join(", ");
    const error = new StepsChanged(
      `Cannot compensate ${
        names.length === 1 ? "step" : "steps"
      } ${listed} of task ${this.#host.task.id} as its code ` +
        "did not come by that again: renamed steps need aliases",
      { step: null, unasked: names },
    );
    if (cause !== undefined) error.cause = cause;
    return error;
  }

  /** The stored steps that have completed, in that order. */
  #stored(): (LoadedStep & { readonly seq: number })[] {
    return (this.#rows ?? []).filter((row): row is LoadedStep & { seq: number } =>
      row.kind === "step" && row.status === "completed" && row.seq !== null
    );
  }

  #hasEnded(name: string, key: string): boolean {
    const stored = this.storedOf({ name, key });
    return stored !== undefined && stored.status !== "waiting";
  }

  #due(): CompensationDue {
    return new CompensationDue(`Task ${this.#host.task.id} compensates its steps`);
  }

  async #note(): Promise<void> {
    const { task: { id, claimSeq }, env: { sql }, context: { signal } } = this.#host;
    for (let delay = 20; !signal.aborted; delay = Math.min(delay * 2, 1000)) {
      try {
        return await noteCompensates(sql, { id, claimSeq });
      } catch (error) {
        if (!isServerFault(error)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}

/** The plan that is stored with a marker. */
export function planOf({ error }: Pick<LoadedStep, "error">): readonly Planned[] {
  return (error as Partial<MarkerError> | null)?.plan ?? [];
}
