import { createHash } from "node:crypto";
import { checkKey, type TaskDefinition } from "../task/definition.ts";
import { toSeconds } from "../duration.ts";
import type { ScheduleOptions, Unique } from "../task/options.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import type { UniqueColumns } from "../store/new_task.ts";
import { decode } from "../wire/decode.ts";
import { encode } from "../wire/encode.ts";

/** Whether a call of this task with these options is unique, so that it may have a duplicate. */
export function isUnique(definition: TaskDefinition, options: Pick<ScheduleOptions, "unique">): boolean {
  return definition.unique !== undefined || options.unique !== undefined;
}

/**
 * Computes the columns that make a call unique from its arguments, given plain and encoded (null while some of them are
 * results of other tasks); none for a task that is not unique. An option of the call wins over the definition's. With `keys`, the unique key does not reveal the arguments.
 */
export async function uniqueColumns(
  definition: TaskDefinition,
  options: Pick<ScheduleOptions, "unique">,
  { args, params, keys }: { args: unknown[]; params: string | null; keys?: KeyRing | undefined },
): Promise<Partial<UniqueColumns>> {
  if (!isUnique(definition, options)) return {};
  const { unique: defined } = definition;
  const { unique: called } = options;
  const base: Unique = typeof defined === "object" ? defined as Unique : {};
  const call: Unique = typeof called === "string" ? { key: called } : called ?? {};
  const key = call.key ?? base.key;
  const lasts = call.for ?? base.for;
  return {
    unique_key: key !== undefined
      ? givenKey(definition.name, key, args)
      : await keyOfArguments(params ?? refuseResults(definition.name), keys),
    unique_among: call.among ?? base.among ?? null,
    unique_for: lasts === undefined ? null : toSeconds(lasts, "unique.for"),
    on_conflict: call.onConflict ?? base.onConflict ?? "keep",
  };
}

function refuseResults(name: string): never {
  throw new TypeError(
    `Cannot schedule task "${name}" as its unique key is made of its arguments, and one is the result of another task: ` +
      'set "unique.key"',
  );
}

function givenKey(name: string, key: NonNullable<Unique["key"]>, args: unknown[]): string {
  const action = `schedule task "${name}"`;
  if (typeof key === "string") return key;
  let computed: unknown;
  try {
    computed = key(...args);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TypeError(`Cannot ${action} as the key function of "unique" threw: ${reason}`, { cause: error });
  }
  if (computed instanceof Promise) computed.catch(() => {}); // it is rejected below, so nothing awaits it
  return checkKey("unique", computed, action);
}

/**
 * Computes a digest of the arguments of several calls of a task, the same for the same arguments: first that which is
 * stored, then those under which a call may have been stored before the keys were replaced.
 */
export async function digestsOfCalls(
  calls: readonly { readonly params: string }[],
  keys: KeyRing | undefined,
): Promise<[string, ...string[]]> {
  const texts = await Promise.all(calls.map(({ params }) => canonicalText(params)));
  const text = texts.length === 1 ? texts[0]! : JSON.stringify(texts);
  const plain = createHash("sha256").update(text).digest("hex");
  return keys ? [...await keys.digests(text) as [string], plain] : [plain];
}

/**
 * Computes a text of fixed length, the same for the same arguments in whatever order the keys of their objects are. It
 * uses the wire format, so that a Date and its ISO text differ.
 */
async function keyOfArguments(params: string, keys: KeyRing | undefined): Promise<string> {
  const text = await canonicalText(params);
  return keys ? await keys.digest(text) : createHash("sha256").update(text).digest("hex");
}

async function canonicalText(params: string): Promise<string> {
  const args = decode(params); // a copy, which may be sorted
  sortKeys(args, new Set());
  return await encode(args);
}

/** Sorts the keys of every plain object within `value`, in place. */
function sortKeys(value: unknown, seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value) || ArrayBuffer.isView(value)) return;
  seen.add(value);
  if (value instanceof Map) { for (const entry of value) entry.forEach((part) => sortKeys(part, seen)); }
  if (value instanceof Set) { for (const part of value) sortKeys(part, seen); }
  const entries = Object.entries(value);
  for (const [, part] of entries) sortKeys(part, seen);
  if (Array.isArray(value) || Object.getPrototypeOf(value) !== Object.prototype) return;
  for (const [key] of entries) delete (value as Record<string, unknown>)[key];
  for (const [key, part] of entries.sort(([a], [b]) => a < b ? -1 : 1)) {
    // Not by assignment: a key may be "__proto__".
    Object.defineProperty(value, key, { value: part, configurable: true, enumerable: true, writable: true });
  }
}
