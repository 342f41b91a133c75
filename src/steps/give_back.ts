import { decodeParams } from "../privacy/encryption.ts";
import type { NewStep } from "../store/steps.ts";
import { calleeError } from "./call_end.ts";
import type { StepsCore } from "./host.ts";
import type { LoadedStep } from "./load_steps.ts";
import { failedCallee, toThrown } from "./step_error.ts";
import { countWait } from "./step_report.ts";

/** What is stored already follows no failure that is not. */
export const NONE: ReadonlySet<NewStep> = new Set();

/** Gives a stored result to the handler, or throws the stored error. One that cannot be read ends the attempt. */
export async function giveBack(step: LoadedStep, core: StepsCore): Promise<unknown> {
  const { host, facts } = core;
  if (step.unreadable !== undefined) return await core.leave(step.unreadable);
  if (step.status === "failed") {
    const callee = failedCallee(step);
    const error = callee === undefined ? toThrown(step) : await readCalleeError(callee, step, core);
    if (step.end && isFailedCall(step)) {
      facts.add(step.end, NONE);
      countWait(host.observers, step.end);
    }
    throw error;
  }
  try {
    return step.returned === null ? undefined : decodeParams(step.returned, host.env.keys);
  } catch (error) {
    return await core.leave(error);
  }
}

/** The error of a call whose task did not complete; as it is stored, if that has been deleted or retried since. */
async function readCalleeError(id: number, step: LoadedStep, core: StepsCore): Promise<Error> {
  try {
    const error = await calleeError(id, core.host.env.instance);
    return error.name === step.error?.name ? error : toThrown(step);
  } catch (error) {
    return await core.leave(error);
  }
}

/** Whether a call has failed: the handler may not catch that, and then a retry of the task tries the call again. */
export function isFailedCall({ kind, status }: LoadedStep): boolean {
  return kind === "call" && status === "failed";
}
