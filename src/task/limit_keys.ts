import { checkKey, type TaskDefinition } from "./definition.ts";
import { toSeconds } from "../duration.ts";
import type { Concurrency } from "./options.ts";
import { toRetentionSeconds } from "./retention.ts";

/** What the database must know of a task, by one of the names under which its records may stand. */
export interface DefinitionRow {
  func_name: string;
  concurrency_limit: number | null;
  rate_limit: number | null;
  /** In seconds. */
  rate_per: number | null;
  /** In seconds; `"Infinity"` keeps records for ever. */
  retain_completed: number | "Infinity" | null;
  /** In seconds; `"Infinity"` keeps records for ever. */
  retain_failed: number | "Infinity" | null;
}

/** The keys that a task's limits count by; null where it has no such limit. */
export interface LimitKeys {
  concurrencyKey: string | null;
  rateKey: string | null;
}

/** Whether a task of this definition stands under any limit. */
export function isLimited({ concurrency, rateLimit }: TaskDefinition): boolean {
  return concurrency !== undefined || rateLimit !== undefined;
}

/**
 * The keys of one task: by default its name; a text is shared by all tasks that give it, and what a function returns
 * counts for this task alone.
 *
 * @throws {TypeError | RangeError} If a function returned what is no key.
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

/** A definition as the database knows it, under one of its names. */
export function toDefinitionRow(name: string, { concurrency, rateLimit, retention }: TaskDefinition): DefinitionRow {
  const { completed, failed } = toRetentionSeconds(retention);
  return {
    func_name: name,
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
