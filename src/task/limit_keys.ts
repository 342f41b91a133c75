import { checkKey, type TaskDefinition } from "./definition.ts";
import { toSeconds } from "../duration.ts";
import type { Concurrency } from "./options.ts";
import { toRetentionSeconds } from "./retention.ts";

/** The part of a definition that the database stores, under one of the task's names. */
export interface DefinitionRow {
  func_name: string;
  /** Null for the queue `default`. */
  queue: string | null;
  concurrency_limit: number | null;
  rate_limit: number | null;
  /** Seconds. */
  rate_per: number | null;
  /** Seconds; `"Infinity"` keeps records forever. */
  retain_completed: number | "Infinity" | null;
  /** Seconds; `"Infinity"` keeps records forever. */
  retain_failed: number | "Infinity" | null;
}

/** The keys that a task's limits count by; null if it has no such limit. */
export interface LimitKeys {
  concurrencyKey: string | null;
  rateKey: string | null;
}

/** Whether a task of this definition has any limit. */
export function isLimited({ concurrency, rateLimit }: TaskDefinition): boolean {
  return concurrency !== undefined || rateLimit !== undefined;
}

/**
 * Computes the keys of one task. The default is its name. Text is shared by all tasks that give the same text; the key
 * that a function returns counts for this task only.
 *
 * @throws {TypeError | RangeError} If a function returned an invalid key.
 */
export function computeLimitKeys(definition: TaskDefinition, args: unknown[]): LimitKeys {
  const { concurrency, rateLimit } = definition;
  return {
    concurrencyKey: concurrency ? computeKey("concurrency", concurrency, definition, args) : null,
    rateKey: rateLimit ? computeKey("rateLimit", rateLimit, definition, args) : null,
  };
}

function computeKey(option: string, { key }: Concurrency, { name }: TaskDefinition, args: unknown[]): string {
  if (typeof key !== "function") return key ?? name;
  const action = `limit task "${name}"`;
  return checkKey(option, `${name}:${checkKey(option, key(...args), action)}`, action);
}

/** Converts a definition to the row that the database stores under one of its names. */
export function toDefinitionRow(
  name: string,
  { queue, concurrency, rateLimit, retention }: TaskDefinition,
  defaultQueue = "default",
): DefinitionRow {
  const { completed, failed } = toRetentionSeconds(retention);
  const own = queue ?? defaultQueue;
  return {
    func_name: name,
    queue: own === "default" ? null : own,
    concurrency_limit: concurrency?.limit ?? null,
    rate_limit: rateLimit?.limit ?? null,
    rate_per: rateLimit ? toSeconds(rateLimit.per, "rateLimit.per") : null,
    retain_completed: toJsonNumber(completed),
    retain_failed: toJsonNumber(failed),
  };
}

/** JSON has no infinity. */
function toJsonNumber(seconds: number | null): number | "Infinity" | null {
  return seconds === Infinity ? "Infinity" : seconds;
}
