import { decodeStored, isEncrypted } from "../../privacy/encryption.ts";
import type { PageContext } from "../context.ts";
import { containedJson, type ListedTask } from "../../store/task_lists.ts";
import { readRecords } from "../../store/records.ts";
import { Projection } from "../../wire/to_json.ts";

/** A stored value as the viewer may see it, or the reason why it cannot be shown. */
export type Shown = { readonly value: unknown } | { readonly problem: string };

/** A stored value with its place, which it may be encrypted for. */
export interface StoredValue {
  readonly text: string;
  readonly funcName: string;
  readonly queue: string;
  readonly column: "params" | "returned" | "step.returned";
}

/** Decrypts and decodes a stored value as far as the instance can, without the parts that are hidden. */
export async function showValue(
  { text, funcName, queue, column }: StoredValue,
  { firefly: { keys }, redact }: PageContext,
): Promise<Shown> {
  try {
    const plain = keys && isEncrypted(text) ? await keys.decrypt(text, { funcName, queue, column }) : text;
    const place = column === "params" ? "params" : "returned";
    return { value: redact(decodeStored(plain, place, keys), [place]) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** The longest text that a line of a list shows of a value. */
const LINE = 160;

/** Writes a value as one line of JSON, cut off. */
export function toLine(shown: Shown): string {
  if ("problem" in shown) return shown.problem;
  const text = JSON.stringify(new Projection().toJsonValue(shown.value)) ?? "null";
  return text.length > LINE ? `${text.slice(0, LINE)}…` : text;
}

/**
 * Whether a task matches texts of arguments by what its viewer may see: otherwise a search would tell what is hidden,
 * letter by letter. PostgreSQL has found the match in the arguments as they are stored.
 */
export async function mayShowMatch(
  context: PageContext,
  row: Pick<ListedTask, "id" | "func_name" | "queue" | "params">,
  groups: readonly (readonly string[])[],
): Promise<boolean> {
  const text = row.params ?? (await readRecords(context.sql, [Number(row.id)]))[0]?.params;
  if (text === undefined) return false;
  const shown = await showValue({ text, funcName: row.func_name, queue: row.queue, column: "params" }, context);
  if ("problem" in shown) return false;
  const plain = new Projection().toJsonValue(shown.value);
  const json = JSON.stringify(plain).toLowerCase();
  return groups.every((texts) => texts.some((each) => matches(plain, json, each)));
}

function matches(plain: unknown, json: string, text: string): boolean {
  const contained = containedJson(text);
  if (contained !== undefined) return contains(JSON.parse(JSON.stringify(plain)), JSON.parse(contained));
  const word = text.toLowerCase();
  // PostgreSQL writes a space after each colon and comma of JSON, and letters that JSON may escape as they are.
  return json.includes(word) || withSpaces(plain).toLowerCase().includes(word);
}

/** Writes JSON as `jsonb` does. */
function withSpaces(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(withSpaces).join(", ")}]`;
  if (typeof value !== "object" || value === null || "toJSON" in value) return JSON.stringify(value) ?? "null";
  return `{${Object.entries(value).map(([key, part]) => `${JSON.stringify(key)}: ${withSpaces(part)}`).join(", ")}}`;
}

/** Whether JSON contains other JSON, in the sense of the `jsonb` operator `@>`. */
function contains(value: unknown, part: unknown): boolean {
  if (Array.isArray(part)) {
    return Array.isArray(value) && part.every((each) => value.some((member) => contains(member, each)));
  }
  if (typeof part !== "object" || part === null) {
    return value === part || (Array.isArray(value) && value.includes(part));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return Object.entries(part).every(([key, each]) =>
    Object.hasOwn(value, key) && contains((value as Record<string, unknown>)[key], each)
  );
}
