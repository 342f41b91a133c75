import type { KeyRing, ValuePlace } from "../privacy/encryption.ts";
import { encode } from "../wire/encode.ts";

/**
 * Encodes a result to be stored, and encrypts it if there are keys; null for undefined. Its parameters are no object, as
 * every attempt would make one.
 */
export function encodeResult(
  returned: unknown,
  task: Pick<ValuePlace, "funcName" | "queue">,
  keys: KeyRing | undefined,
  column: ValuePlace["column"],
): string | null | Promise<string> {
  if (returned === undefined) return null;
  const text = encode(returned);
  if (!keys) return text;
  const { funcName, queue } = task;
  // The result of a step stays readable when its task is moved to another queue.
  const anyQueue = column === "step.returned";
  return Promise.resolve(text).then((text) => keys.encrypt(text, { funcName, queue, column }, { anyQueue }));
}
