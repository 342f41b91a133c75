import { httpStatus, type TaskRecord } from "@firefly/tasks";

/** The response to a question for a result: 202 as long as there is none. */
export function answerOf(record: TaskRecord): { status: 200 | 202; body: object } {
  const { id, status, returned } = record.toJSON(); // as JSON has no bigint, Map or Date
  return { status: status === "created" || status === "running" ? 202 : 200, body: { id, status, returned } };
}

/** The response to a request that failed; `ownStatus` is that of an error of the framework. */
export function failureOf(error: unknown, ownStatus = 500): { status: number; body: { error: string } } {
  const status = httpStatus(error) ?? ownStatus;
  if (status < 500 && error instanceof Error) return { status, body: { error: error.message } };
  console.error(error);
  return { status, body: { error: status === 503 ? "Try again later" : "Internal error" } };
}
