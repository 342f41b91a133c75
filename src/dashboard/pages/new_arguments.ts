import { decodeStored, isEncrypted } from "../../privacy/encryption.ts";
import { Projection } from "../../wire/to_json.ts";
import type { PageContext } from "../context.ts";
import type { ShownTask } from "./task_facts.ts";

/** The longest JSON that a form lets edit. */
const MAX_EDITED = 200_000;
/** How many values to name that JSON cannot carry. */
const NAMED = 8;

/** The arguments of a task that is duplicated, as JSON to edit. */
export interface EditedArguments {
  /** Undefined where they cannot be edited. */
  readonly json: string | undefined;
  /** Why they cannot be edited. */
  readonly problem?: string;
  /** The values that JSON does not have, each with its place: `Date at 1.sendAt`. */
  readonly lost: readonly string[];
  /** The JSON that stands in place of parts that are hidden. */
  readonly hidden: readonly string[];
}

/** Decrypts the arguments of a record; the text itself where the instance cannot. */
export async function decryptArguments(
  { firefly: { keys } }: PageContext,
  { params, func_name: funcName, queue }: ShownTask,
): Promise<string> {
  return keys && isEncrypted(params) ? await keys.decrypt(params, { funcName, queue, column: "params" }) : params;
}

/** Reads the arguments of a record as JSON to edit, without the parts that are hidden. */
export async function editArguments(context: PageContext, task: ShownTask): Promise<EditedArguments> {
  const none = { json: undefined, lost: [], hidden: [] };
  let value: unknown;
  try {
    value = decodeStored(await decryptArguments(context, task), "params", context.firefly.keys);
  } catch (error) {
    return { ...none, problem: `They cannot be shown: ${(error as Error).message}. They are copied as they are.` };
  }
  const projection = new Projection();
  const plain = projection.toJsonValue(value);
  const shown = new Projection().toJsonValue(context.redact(value, ["params"]));
  const json = JSON.stringify(shown, null, 2);
  if (json.length > MAX_EDITED) {
    return { ...none, problem: "They are too long to edit here. They are copied as they are." };
  }
  return { json, lost: lostIn(value), hidden: [...new Set(hiddenIn(plain, shown))] };
}

/** Finds the values that JSON does not have. */
function lostIn(root: unknown): string[] {
  const found: string[] = [];
  const seen = new Set<object>();
  const visit = (value: unknown, path: string): void => {
    if (found.length > NAMED) return;
    const type = typeName(value);
    if (type !== undefined) {
      found.push(`${type} at ${path}`);
      return;
    }
    if (typeof value !== "object" || value === null) return;
    if (seen.has(value)) {
      found.push(`an object twice, at ${path}`);
      return;
    }
    seen.add(value);
    for (const [key, part] of Object.entries(value)) visit(part, path === "" ? key : `${path}.${key}`);
  };
  visit(root, "");
  return found.length > NAMED ? [...found.slice(0, NAMED), "others"] : found;
}

/** The type of a value that JSON does not have; undefined for one that it has. */
function typeName(value: unknown): string | undefined {
  if (typeof value === "bigint" || typeof value === "undefined") return typeof value;
  if (typeof value === "number") {
    return Number.isFinite(value) && !Object.is(value, -0) ? undefined : Object.is(value, -0) ? "-0" : String(value);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return undefined;
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** The JSON in `shown` that replaces parts of `plain`. */
function hiddenIn(plain: unknown, shown: unknown): string[] {
  if (plain === shown) return [];
  const isList = Array.isArray(plain) && Array.isArray(shown);
  const areObjects = isObject(plain) && isObject(shown);
  if (!isList && !areObjects) return JSON.stringify(plain) === JSON.stringify(shown) ? [] : [JSON.stringify(shown)];
  return Object.entries(shown as object).flatMap(([key, part]) =>
    hiddenIn((plain as Record<string, unknown>)[key], part)
  );
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Compares texts of a form: browsers send line breaks as CRLF. */
export function isSameText(a: string, b: string): boolean {
  return a.replace(/\r\n?/g, "\n").trim() === b.replace(/\r\n?/g, "\n").trim();
}
