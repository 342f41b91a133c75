/** The statuses of responses, by the names of errors. */
const STATUSES: ReadonlyMap<string, 404 | 409 | 413 | 422 | 503> = new Map([
  ["TaskNotFound", 404],
  ["StepNotFound", 404],
  ["TaskExists", 409],
  ["FireflyLimitError", 413],
  ["ValidationFailed", 422],
  ["DatabaseUnreachable", 503],
  ["InstanceClosed", 503],
]);

/**
 * Returns the HTTP status of the response to a request that failed with `error`, for the error handler of a web
 * framework: 404 for {@linkcode TaskNotFound} and {@linkcode StepNotFound}, 409 for {@linkcode TaskExists}, 413 for {@linkcode FireflyLimitError}, 422
 * for {@linkcode ValidationFailed}, 503 for {@linkcode DatabaseUnreachable} and {@linkcode InstanceClosed}. Undefined for
 * every other error: answer these with the framework's own status, or 500.
 *
 * Below 500 the message describes what the client sent. From 500 on it may name your database: log it, do not send it.
 *
 * @example
 * ```ts
 * import { httpStatus, TaskNotFound } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(httpStatus(new TaskNotFound(7)) ?? 500, 404);
 * assertEquals(httpStatus(new TypeError("a mistake in the program")) ?? 500, 500);
 * ```
 */
export function httpStatus(error: unknown): 404 | 409 | 413 | 422 | 503 | undefined {
  // By name, as a bundler may give a route another copy of the classes than the instance has.
  return error instanceof Error ? STATUSES.get(error.name) : undefined;
}
