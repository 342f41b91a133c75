import { types } from "node:util";

/**
 * Reads of values that handlers throw. Such a value may be anything: a proxy whose traps throw, an object without a
 * prototype, an error of another realm, a getter that throws. None of these functions throws.
 */

/** The text for a thrown value that cannot be read. */
export const UNREADABLE = "The thrown value cannot be read";

/** Reads a property; undefined if that throws. */
export function readProperty(value: unknown, key: PropertyKey): unknown {
  try {
    return (value as Record<PropertyKey, unknown> | null | undefined)?.[key];
  } catch {
    return undefined;
  }
}

/** As `value instanceof type`; false if that throws, as it does for a revoked proxy. */
export function isInstance<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/** Whether a value is an error, of any realm. */
export function isError(value: unknown): value is Error {
  return types.isNativeError(value) || isInstance(value, Error);
}

/** Converts a value to text; undefined if that throws. */
export function toText(value: unknown): string | undefined {
  try {
    return String(value);
  } catch {
    return undefined;
  }
}

/** The name and message of a thrown value, and its stack if it is an error with one. */
export interface ThrownParts {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

/** Reads the parts of a thrown value: each alone, so that one that cannot be read hides no other. */
export function partsOf(thrown: unknown): ThrownParts {
  if (isError(thrown)) {
    const stack = readProperty(thrown, "stack") ? textAt(thrown, "stack") : undefined;
    return {
      name: textAt(thrown, "name") ?? "Error",
      message: textAt(thrown, "message") ?? UNREADABLE,
      ...(stack ? { stack } : {}),
    };
  }
  // Some libraries throw plain objects with the fields of an error.
  const { message, name } = { message: readProperty(thrown, "message"), name: readProperty(thrown, "name") };
  if (typeof thrown === "object" && typeof message === "string") {
    return { name: typeof name === "string" && name ? name : "object", message };
  }
  const text = toText(thrown);
  return text === undefined ? { name: "Error", message: UNREADABLE } : { name: typeof thrown, message: text };
}

/** Lists a thrown value and its causes, at most `max` of them: causes may go round in a circle. */
export function* causesOf(thrown: unknown, max: number): Generator<unknown> {
  yield thrown;
  let cause = thrown;
  for (let i = 0; i < max; i++) {
    cause = isError(cause) ? readProperty(cause, "cause") : undefined;
    if (cause === undefined) return;
    yield cause;
  }
}

/** Makes an error of a thrown value: itself, if it is one. */
export function toError(thrown: unknown): Error {
  if (isError(thrown)) return thrown;
  const error = new Error(partsOf(thrown).message, { cause: thrown });
  const name = readProperty(thrown, "name");
  return typeof thrown === "object" && typeof name === "string" ? Object.assign(error, { name }) : error;
}

function textAt(value: unknown, key: PropertyKey): string | undefined {
  try {
    return String((value as Record<PropertyKey, unknown>)[key]);
  } catch {
    return undefined;
  }
}
