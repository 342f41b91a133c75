import type { NewStep } from "../store/steps.ts";
import type { StepsCore } from "./host.ts";

/** What is known of a step that is to be stored; what is left out is null, and `failures` 0. */
export type KnownStep =
  & Pick<NewStep, "name" | "key" | "kind">
  & Partial<Pick<NewStep, "seq" | "failures" | "began" | "due" | "received" | "returned" | "error">>;

/** Makes a row of a step. One without a `seq` waits; another one ends now, and has failed if it has an error. */
export function toNewStep(
  { version, host: { task: { attempt } } }: Pick<StepsCore, "version"> & { host: Pick<StepsCore["host"], "task"> },
  known: KnownStep,
): NewStep {
  const now = performance.now();
  const { seq = null, error = null } = known;
  return {
    version,
    attempt,
    seq,
    error,
    status: seq === null ? "waiting" : error === null ? "completed" : "failed",
    failures: 0,
    began: now,
    ended: seq === null ? null : now,
    due: null,
    received: null,
    returned: null,
    ...known,
  };
}
