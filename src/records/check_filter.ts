import { TASK_STATES, TASK_STATUSES, type TaskFilter } from "../task/record.ts";
import { refuseUnknownKeys } from "../suggest.ts";

const FILTER_KEYS = [
  "status",
  "queue",
  "funcName",
  "ids",
  "tags",
  "createdBefore",
  "createdAfter",
  "finishedBefore",
  "finishedAfter",
  "error",
  "params",
];

/**
 * Checks a filter of tasks.
 *
 * @throws {TypeError | RangeError} If it is wrong.
 */
export function checkFilter(filter: TaskFilter, action: string): void {
  refuseUnknownKeys(filter, FILTER_KEYS, action);
  const known: readonly string[] = [...TASK_STATUSES, ...TASK_STATES];
  for (const status of filter.status === undefined ? [] : [filter.status].flat()) {
    if (!known.includes(status)) {
      throw new RangeError(
        `Cannot ${action} as status must be one of ${[...new Set(known)].join(", ")}: current value is "${status}"`,
      );
    }
  }
}
