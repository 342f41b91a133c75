import { isServerFault } from "../database/error_codes.ts";
import { DatabaseUnreachable, LeaseLost } from "../errors.ts";
import { isInstance } from "../thrown.ts";
import { describeError } from "../settle/error_record.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { StepRow } from "../store/steps.ts";
import type { Duration } from "../duration.ts";
import { Fail, isFail, isRetry, markAsFail, Retry } from "../task/context.ts";

/** What the error of a step asks for, beside what errors of tasks have. */
interface Asked {
  /** `fail`: no retry; `retry`: another attempt that is not counted. */
  readonly asks?: "fail" | "retry";
  /** How the delay before that attempt was given. */
  readonly after?: Duration;
}

/** Describes what a step threw, as JSON to be stored. */
export function describeStepError(thrown: unknown, redactor: Redactor): string {
  const asked: Asked = isRetry(thrown)
    ? { asks: "retry", ...(thrown.delay === undefined ? {} : { after: thrown.delay }) }
    : isFail(thrown)
    ? { asks: "fail" }
    : {};
  return JSON.stringify({ ...describeError(thrown, redactor), ...asked });
}

/**
 * Makes an error of a stored one, to be thrown again: an `Error` with its name, message, code and stack, a `Retry` or a
 * `Fail`; for a signal that was not sent in time, a `DOMException`.
 */
export function toThrown({ kind, error: stored }: Pick<StepRow, "kind" | "error">): Error {
  const { name, message, code, stack, cause, asks, after } = (stored ?? {}) as NonNullable<StepRow["error"]> & Asked;
  if (kind === "signal" && name === "TimeoutError") return new DOMException(message, name);
  const options = cause === undefined ? {} : { cause };
  const error = asks === "retry"
    ? new Retry(after === undefined ? options : { ...options, delay: after })
    : name === "Fail"
    ? new Fail(message, options)
    : Object.assign(new Error(message, options), { name: name ?? "Error" });
  if (asks === "fail" && !isFail(error)) markAsFail(error);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}

/** The id of the called task that did not complete, of a stored error of a call. */
export function failedCallee({ kind, error }: Pick<StepRow, "kind" | "error">): number | undefined {
  const { task } = (error ?? {}) as { task?: unknown };
  return kind === "call" && typeof task === "number" ? task : undefined;
}

/** An error that shows that the server is at fault, where the function has thrown another one because of that. */
export function toServerFault(error: unknown): unknown {
  if (isServerFault(error) || isInstance(error, LeaseLost)) return error;
  return new DatabaseUnreachable("Cannot go on with the step as the database failed", { cause: error });
}
