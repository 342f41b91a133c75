import type { Tag } from "../database/driver.ts";
import { FireflyError, LeaseLost, TaskCancelled } from "../errors.ts";
import type { AttemptInfo, Emitter, Events } from "../events.ts";
import { type ClaimState, type Outcome, readClaims } from "../store/settle.ts";
import { isInstance } from "../thrown.ts";

/** How an attempt ended, for the consumer's statistics. */
export type AttemptOutcome =
  | "completed"
  | "failed"
  | "retried"
  | "snoozed"
  | "suspended"
  | "returned"
  | "cancelled"
  | "lost";

/** An attempt, and the emitter of its events. */
export interface AttemptEvents {
  readonly env: { readonly events: Emitter };
  readonly info: AttemptInfo;
}

/** Emits `completed` for an attempt that started at `began`, a value of `performance.now()`. */
export function emitCompleted({ env: { events }, info }: AttemptEvents, began: number): AttemptOutcome {
  if (events.has("completed")) {
    events.emit("completed", { ...info, seconds: (performance.now() - began) / 1000 });
  }
  return "completed";
}

/** Emits the outcome of an attempt that threw. */
export function emitOutcome(
  { env: { events }, info }: AttemptEvents,
  outcome: Outcome,
  error: unknown,
): AttemptOutcome {
  if (outcome.status === "failed") {
    events.emit("failed", { ...info, error });
    return "failed";
  }
  if (outcome.counts !== "retry" && outcome.error === null) {
    events.emit("returned", { ...info, reason: error });
    return "returned";
  }
  events.emit("retried", { ...info, error, delay: outcome.delay ?? 0 });
  return outcome.counts === "snooze" ? "snoozed" : "retried";
}

/** Emits `suspended` for an attempt whose handler waits. */
export function emitSuspended(
  { env: { events }, info }: AttemptEvents,
  waits: Pick<Events["suspended"], "until" | "signals" | "tasks">,
): AttemptOutcome {
  if (events.has("suspended")) events.emit("suspended", { ...info, ...waits });
  return "suspended";
}

/** Emits `failed` for a task that cannot be retried, as a duplicate took its unique key after the claim released it. */
export function emitDuplicate({ env: { events }, info }: AttemptEvents, cause?: unknown): AttemptOutcome {
  const error = new FireflyError(
    `Cannot run task ${info.id} again as a duplicate has its unique key`,
    cause ? { cause } : {},
  );
  events.emit("failed", { ...info, error });
  return "failed";
}

/** Emits `lost`, or `cancelled`, for a task that its consumer no longer holds. */
export function emitLost({ env: { events }, info }: AttemptEvents, reason: unknown): AttemptOutcome {
  const outcome = isInstance(reason, TaskCancelled) ? "cancelled" : "lost";
  events.emit(outcome, { ...info, reason });
  return outcome;
}

/** The error for an attempt that no longer holds its task. */
export function leaseLostError(id: number, state: ClaimState | undefined): LeaseLost {
  if (state?.status === "cancelled") return new TaskCancelled(`Task ${id} was cancelled`);
  return new LeaseLost(`Task ${id} was taken away from this attempt: it was rescued, deleted or ended by another`);
}

/** Reads why a settle found that its attempt no longer held the task; `thrown` is the handler's error, if any. */
export async function readLossReason(sql: Tag, id: number, thrown?: unknown): Promise<unknown> {
  const states = await readClaims(sql, [id]).catch(() => undefined);
  const loss = leaseLostError(id, states?.get(id));
  return loss instanceof TaskCancelled ? loss : thrown ?? loss;
}
