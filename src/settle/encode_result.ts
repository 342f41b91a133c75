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

/** Encrypts the result of a step, which is in the wire format, if there are keys. */
export async function encryptStepResult(
  text: string,
  { funcName, queue }: Pick<ValuePlace, "funcName" | "queue">,
  keys: KeyRing | undefined,
): Promise<string> {
  return keys ? await keys.encrypt(text, { funcName, queue, column: "step.returned" }, { anyQueue: true }) : text;
}
