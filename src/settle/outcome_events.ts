import type { Tag } from "../database/driver.ts";
import { FireflyError, LeaseLost, TaskCancelled } from "../errors.ts";
import type { AttemptInfo, Emitter } from "../events.ts";
import { type ClaimState, type Outcome, readClaims } from "../store/settle.ts";

/** How an attempt ended, for the consumer's statistics. */
export type AttemptOutcome = "completed" | "failed" | "retried" | "returned" | "cancelled" | "lost";

/** An attempt, and who is told of its end. */
export interface AttemptEvents {
  readonly events: Emitter;
  readonly info: AttemptInfo;
}

/** Tells that an attempt ended well, `began` being when it began by `performance.now()`. */
export function emitCompleted({ events, info }: AttemptEvents, began: number): AttemptOutcome {
  if (events.has("completed")) {
    events.emit("completed", { ...info, seconds: (performance.now() - began) / 1000 });
  }
  return "completed";
}

/** Tells what became of a task whose attempt threw. */
export function emitOutcome({ events, info }: AttemptEvents, outcome: Outcome, error: unknown): AttemptOutcome {
  if (outcome.status === "failed") {
    events.emit("failed", { ...info, error });
    return "failed";
  }
  if (outcome.error === null) {
    events.emit("returned", { ...info, reason: error });
    return "returned";
  }
  events.emit("retried", { ...info, error, delay: outcome.delay ?? 0 });
  return "retried";
}

/** The task was to be tried again, and cannot be: a duplicate has taken its unique key since the claim released it. */
export function emitDuplicate({ events, info }: AttemptEvents, cause: unknown): AttemptOutcome {
  const error = new FireflyError(`Cannot run task ${info.id} again as a duplicate has its unique key`, { cause });
  events.emit("failed", { ...info, error });
  return "failed";
}

/** The task is somebody else's, or was cancelled. */
export function emitLost({ events, info }: AttemptEvents, reason: unknown): AttemptOutcome {
  const ending = reason instanceof TaskCancelled ? "cancelled" : "lost";
  events.emit(ending, { ...info, reason });
  return ending;
}

/** Why a task is not an attempt's any more. */
export function leaseLostError(id: number, state: ClaimState | undefined): LeaseLost {
  if (state?.status === "cancelled") return new TaskCancelled(`Task ${id} was cancelled`);
  return new LeaseLost(`Task ${id} was taken away from this attempt: it was rescued, deleted or ended by another`);
}

/** Why a settle did not find a task as an attempt's own; `thrown` is what the handler made of it. */
export async function readLossReason(sql: Tag, id: number, thrown?: unknown): Promise<unknown> {
  const states = await readClaims(sql, [id]).catch(() => undefined);
  const loss = leaseLostError(id, states?.get(id));
  return loss instanceof TaskCancelled ? loss : thrown ?? loss;
}
