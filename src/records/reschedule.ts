import { toSeconds } from "../duration.ts";
import { checkScheduleOptions } from "../task/definition.ts";
import type { ScheduleOptions } from "../task/options.ts";
import type { RescheduleOptions } from "../task/record.ts";
import type { PlaceChange } from "../store/bulk.ts";
import { refuseUnknownKeys } from "../suggest.ts";

const KEYS = ["notBefore", "delay", "queue", "priority"];

/**
 * Checks the options of a call of `reschedule()`, and converts them for the database.
 *
 * @throws {TypeError} If an option is unknown, of the wrong type or excludes another one, or if there is none.
 * @throws {RangeError} If an option is out of range.
 */
export function toPlaceChange(changes: RescheduleOptions, action: string): PlaceChange {
  refuseUnknownKeys(changes, KEYS, action);
  checkScheduleOptions(changes as ScheduleOptions, action);
  const { notBefore = null, delay, queue = null, priority = null } = changes;
  if (Object.values(changes).every((value) => value === undefined)) {
    throw new TypeError(`Cannot ${action} as one of ${KEYS.join(", ")} must be given`);
  }
  return { notBefore, delay: delay === undefined ? null : toSeconds(delay, "delay"), queue, priority };
}
