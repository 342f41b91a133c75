import { assert } from "@std/assert";
import type { Explanation, Reason } from "../../mod.ts";

/** The codes of the reasons, in order. */
export function codesOf({ reasons }: Explanation): string[] {
  return reasons.map(({ reason }) => reason);
}

/** The reason of a kind, which must be there. */
export function pick<R extends Reason["reason"]>({ reasons }: Explanation, code: R): Extract<Reason, { reason: R }> {
  const found = reasons.find(({ reason }) => reason === code);
  assert(found, `Cannot find reason "${code}" among ${JSON.stringify(reasons)}`);
  return found as Extract<Reason, { reason: R }>;
}
