import type { Tag } from "../database/driver.ts";
import { StepsChanged } from "../errors.ts";
import { decodeParams, isEncrypted, type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import { encryptStepResult } from "../settle/encode_result.ts";
import type { Redactor } from "../privacy/redaction.ts";
import { readCallees } from "../store/calls.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import { type NewStep, readSteps, type SignalRow, type StepRow, type StoredSteps } from "../store/steps.ts";
import type { CurrentInstance } from "../task/scope.ts";
import { callEnd, type Outcome } from "./call_end.ts";
import type { StepChange } from "./replay.ts";
import { describeStepError } from "./step_error.ts";
import { findWaitEnds, type WaitEnd } from "./wait_ends.ts";

/** A step as an attempt finds it: a wait that has ended since it was stored is one that has ended. */
export interface LoadedStep extends Omit<StepRow, "func_name" | "queue"> {
  /** What is to be stored of a wait that has ended since. */
  readonly end?: NewStep;
  /** Why its result cannot be read. */
  readonly unreadable?: unknown;
}

/** What earlier attempts have stored, and what has happened since. */
export interface LoadedSteps {
  readonly steps: readonly LoadedStep[];
  /** The signals that no step has received. A step that receives one takes it out. */
  readonly signals: SignalRow[];
  /** The database's time; undefined if nothing was read. */
  readonly now: Date | undefined;
  /** When it was, by `performance.now()`. */
  readonly at: number;
}

/** What reads and decrypts steps. */
export interface StepReader {
  readonly sql: Tag;
  readonly keys: KeyRing | undefined;
  readonly instance: CurrentInstance;
  readonly redactor: Redactor;
}

/**
 * Reads the steps that earlier attempts of a task have stored, and decrypts their results if it can. The first attempt
 * has nothing to read.
 *
 * @throws {StepsChanged} If one of them is of a higher version than `version`.
 */
export async function loadSteps(task: ClaimedTask, reader: StepReader & { version: number }): Promise<LoadedSteps> {
  const at = performance.now();
  if (task.claimSeq === 0) return { steps: [], signals: [], now: undefined, at };
  return await toLoaded(task, { ...await readSteps(reader.sql, task.id), at }, reader);
}

/**
 * Makes stored steps those of an attempt: decrypts them, and ends the waits that have ended.
 *
 * @throws {StepsChanged} If one of them is of a higher version than `version`.
 */
export async function toLoaded(
  task: Pick<ClaimedTask, "id" | "funcName" | "queue">,
  { steps: rows, signals, now, at }: StoredSteps & { at: number },
  reader: StepReader & { version: number },
): Promise<LoadedSteps> {
  const { keys, version } = reader;
  const newest = rows.reduce((newest, { version }) => Math.max(newest, version), 0);
  if (newest > version) {
    throw new StepsChanged(
      `Cannot run version ${version} of task ${task.id} as version ${newest} has run steps of it`,
      { step: null, unasked: [] },
    );
  }
  const { funcName, queue } = task;
  const decrypt = async (text: string | null, column: "step.returned" | "signal.payload") =>
    keys && text !== null ? await keys.decrypt(text, { funcName, queue, column }) : text;
  const ended = rows.filter(({ status }) => status !== "waiting");
  const stored = keys
    ? await mapInChunks(ended, async (row) => ({ ...row, returned: await decrypt(row.returned, "step.returned") }))
    : ended;
  const waiting = rows.filter(({ status }) => status === "waiting");
  if (waiting.length + signals.length === 0) return { steps: stored, signals: [], now, at };
  const messages = keys
    ? await mapInChunks(signals, async (row) => ({ ...row, payload: await decrypt(row.payload, "signal.payload") }))
    : signals;
  return await withEnds(task, { stored, waiting, messages, now, at }, reader);
}

/** Ends the waits that have ended meanwhile: they come after the steps that are stored. */
async function withEnds(
  task: Pick<ClaimedTask, "id" | "funcName" | "queue">,
  { stored, waiting, messages, now, at }: {
    stored: StepRow[];
    waiting: StepRow[];
    messages: SignalRow[];
    now: Date;
    at: number;
  },
  reader: StepReader,
): Promise<LoadedSteps> {
  const called = waiting.flatMap(({ callees }) => callees ?? []);
  const callees = new Map(
    (called.length === 0 ? [] : await readCallees(reader.sql, called)).map((row) => [row.id, row]),
  );
  const ended = new Map(callees.values().map(({ id, ended }) => [id, ended]));
  const { ends, left } = findWaitEnds(waiting, { signals: messages, callees: ended, now });
  let seq = stored.reduce((last, row) => Math.max(last, row.seq ?? 0), 0);
  const steps: LoadedStep[] = [...stored];
  const over = new Set<StepRow>();
  for (const end of ends) {
    over.add(end.step);
    const outcome = end.step.kind === "call" ? await callEnd(end.step, callees, reader) : waitEnd(end, reader);
    steps.push(await toEnded(end, { task, seq: ++seq, now, at, ...outcome }, reader));
  }
  steps.push(...waiting.filter((row) => !over.has(row)));
  return { steps, signals: left, now, at };
}

function waitEnd({ step, signal }: WaitEnd<StepRow, SignalRow>, { redactor, keys }: StepReader): Outcome {
  if (signal) return { returned: signal.payload, error: null, ...readable(signal.payload, keys) };
  if (step.kind === "sleep") return { returned: null, error: null };
  return { returned: null, error: describeStepError(timeoutError(step.name, step.due!), redactor) };
}

/** Why a payload cannot be read: it may be encrypted with a key that is missing here. */
function readable(payload: string | null, keys: KeyRing | undefined): { unreadable?: unknown } {
  if (payload === null || !isEncrypted(payload)) return {};
  try {
    decodeParams(payload, keys);
    return {};
  } catch (error) {
    return { unreadable: error };
  }
}

/** The error of a wait for a signal that was not sent in time. */
export function timeoutError(name: string, due: Date): DOMException {
  const message = `The signal "${name}" was not sent in time: the handler waited for it until ${due.toISOString()}`;
  return new DOMException(message, "TimeoutError");
}

async function toEnded(
  { step, at: endedAt, signal }: WaitEnd<StepRow, SignalRow>,
  { task, seq, now, at, returned, error, unreadable }: Outcome & {
    task: Pick<ClaimedTask, "funcName" | "queue">;
    seq: number;
    now: Date;
    at: number;
  },
  { keys }: StepReader,
): Promise<LoadedStep> {
  const { func_name: _funcName, queue: _queue, ...row } = step;
  const status = error === null ? "completed" as const : "failed" as const;
  const encrypted = returned === null ? null : await encryptStepResult(returned, task, keys);
  const local = (time: Date) => at - (now.getTime() - time.getTime());
  const { name, key, kind, version, attempt, failures, due } = row;
  const end: NewStep = {
    name,
    key,
    kind,
    status,
    seq,
    version,
    attempt,
    failures,
    began: local(row.began),
    ended: local(endedAt),
    due,
    received: signal?.id ?? null,
    returned: encrypted,
    error,
  };
  return {
    ...row,
    status,
    seq,
    ended: endedAt,
    returned,
    error: error === null ? null : JSON.parse(error),
    end,
    ...(unreadable === undefined ? {} : { unreadable }),
  };
}

/** The error of a task whose code does not fit its stored steps. */
export function stepsChangedError(
  id: number,
  { name, kind, unasked, stored }: StepChange<LoadedStep>,
): StepsChanged {
  if (stored) {
    const key = stored.key === "" ? "" : ` "${stored.key}"`;
    return new StepsChanged(
      `Cannot begin ${kind} "${name}" of task ${id} as its ${stored.kind} "${stored.name}"${key} has run: use another name`,
      { step: name, unasked: [stored.name] },
    );
  }
  const [first] = unasked;
  const names = unasked.map((each) => `"${each}"`).join(", ");
  const which = unasked.length === 1 ? `step ${names}, which has run, was` : `steps ${names}, which have run, were`;
  return new StepsChanged(
    `Cannot begin step "${name}" of task ${id} as its ${which} not asked for: ` +
      `renamed steps need aliases: ["${first}"], other changes a higher version`,
    { step: name, unasked },
  );
}
