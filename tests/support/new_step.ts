import type { NewStep } from "../../src/store/steps.ts";

/** A step that has just completed, with other columns as given. */
export function newStep(columns: Partial<NewStep> = {}): NewStep {
  const now = performance.now();
  return {
    name: "a",
    key: "",
    kind: "step",
    status: "completed",
    seq: 1,
    version: 1,
    attempt: 1,
    failures: 0,
    began: now,
    ended: now,
    due: null,
    received: null,
    returned: null,
    error: null,
    ...columns,
  };
}

/** A step that waits, with other columns as given. */
export function newWait(columns: Partial<NewStep> = {}): NewStep {
  return newStep({ kind: "sleep", status: "waiting", seq: null, ended: null, ...columns });
}
