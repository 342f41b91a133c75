import { ValidationFailed } from "./validation.ts";

/** How much of a text that is no id an error shows. */
const SHOWN = 40;

/**
 * Reads the id of a task from text of a caller, such as a part of a URL. `Number()` would also take `"1e3"`, `" 7"` and an
 * empty text.
 *
 * @throws {ValidationFailed} If it is not a positive integer in decimal digits.
 *
 * @example
 * ```ts
 * import { parseTaskId, ValidationFailed } from "@firefly/tasks";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * assertEquals(parseTaskId("42"), 42);
 * assertThrows(() => parseTaskId("4 2"), ValidationFailed, 'must be a positive integer: current value is "4 2"');
 * ```
 */
export function parseTaskId(text: string): number {
  const id = Number(text);
  if (/^[1-9]\d*$/.test(text) && Number.isSafeInteger(id)) return id;
  const shown = JSON.stringify(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
  const issue = { message: `must be a positive integer: current value is ${shown}` };
  throw new ValidationFailed("Cannot read the id of a task", [issue]);
}
