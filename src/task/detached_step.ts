import { FireflyError } from "../errors.ts";
import type { Signal } from "./signal.ts";
import type { Step } from "./step.ts";
import {
  checkSleep,
  checkStep,
  startStepTimeout,
  type StepFunction,
  type StepInfo,
  type StepOptions,
} from "./step_options.ts";

/** The longest sleep where no attempt runs, in seconds. */
const LONGEST_SLEEP = 1;

async function step(spec: string | StepOptions, fn: StepFunction, compensate?: unknown): Promise<unknown> {
  const { name, key = "", timeout } = checkStep(spec, fn, compensate);
  const idempotencyKey = ["direct", crypto.randomUUID(), name, key].join(":");
  const call = async (signal: AbortSignal) => {
    const info: StepInfo = { name, key, attempt: 1, idempotencyKey, signal };
    return await fn(info);
  };
  if (timeout === undefined) return await call(NEVER);
  const controller = new AbortController();
  const { timer, late } = startStepTimeout(name, timeout);
  try {
    const abort = late.catch((error) => (controller.abort(error), Promise.reject(error)));
    return await Promise.race([call(controller.signal), abort]);
  } finally {
    clearTimeout(timer);
  }
}

async function sleep(...args: [time: unknown] | [name: unknown, time?: unknown]): Promise<void> {
  const { name, time } = checkSleep(args);
  const seconds = time instanceof Date ? Math.max(0, time.getTime() - Date.now()) / 1000 : time;
  if (seconds > LONGEST_SLEEP) throw detached(`sleep for more than ${LONGEST_SLEEP} s in step "${name}"`);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function detached(action: string): FireflyError {
  return new FireflyError(`Cannot ${action} as no consumer runs this handler: it was called directly`);
}

/** Runs the functions of steps where no attempt runs, each time that they are called. There, nothing can wait. */
export const DETACHED_STEP: Step = Object.assign(step, {
  sleep,
  waitFor: (signal: Signal<never>) => Promise.reject(detached(`wait for signal "${signal.name}"`)),
  call: () => Promise.reject(detached("call a task and wait for it")),
  callMany: () => Promise.reject(detached("call tasks and wait for them")),
}) as Step;

const NEVER = new AbortController().signal;
