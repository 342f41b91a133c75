import type { Tag } from "../database/driver.ts";
import { FireflyError, LeaseLost, TaskCancelled } from "../errors.ts";
import type { AttemptInfo, Emitter } from "../events.ts";
import { type ClaimState, type Outcome, readClaims } from "../store/settle.ts";

/** How an attempt ended, for the consumer's statistics. */
export type Ending = "completed" | "failed" | "retried" | "returned" | "cancelled" | "lost";

/** An attempt, and who is told of its end. */
export interface Announced {
  readonly events: Emitter;
  readonly info: AttemptInfo;
}

/** Tells that an attempt ended well, `began` being when it began by `performance.now()`. */
export function announceCompletion({ events, info }: Announced, began: number): Ending {
  if (events.has("completed")) {
    events.emit("completed", { ...info, seconds: (performance.now() - began) / 1000 });
  }
  return "completed";
}

/** Tells what became of a task whose attempt threw. */
export function announceOutcome({ events, info }: Announced, outcome: Outcome, error: unknown): Ending {
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

/** The task was to be tried again, and cannot be: a twin has taken its unique key since the claim released it. */
export function announceTwin({ events, info }: Announced, cause: unknown): Ending {
  const error = new FireflyError(`Cannot run task ${info.id} again as a twin has its unique key`, { cause });
  events.emit("failed", { ...info, error });
  return "failed";
}

/** The task is somebody else's, or was cancelled. */
export function announceLoss({ events, info }: Announced, reason: unknown): Ending {
  const ending = reason instanceof TaskCancelled ? "cancelled" : "lost";
  events.emit(ending, { ...info, reason });
  return ending;
}

/** Why a task is not an attempt's any more. */
export function lossOf(id: number, state: ClaimState | undefined): LeaseLost {
  if (state?.status === "cancelled") return new TaskCancelled(`Task ${id} was cancelled`);
  return new LeaseLost(`Task ${id} was taken away from this attempt: it was rescued, deleted or ended by another`);
}

/** Why a settle did not find a task as an attempt's own; `thrown` is what the handler made of it. */
export async function findLoss(sql: Tag, id: number, thrown?: unknown): Promise<unknown> {
  const states = await readClaims(sql, [id]).catch(() => undefined);
  const loss = lossOf(id, states?.get(id));
  return loss instanceof TaskCancelled ? loss : thrown ?? loss;
}
