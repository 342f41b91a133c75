import { type Duration, toSeconds } from "../duration.ts";
import type { Retention } from "./options.ts";

/** For how many seconds to keep ended records: Infinity for forever, null if not set. */
export interface RetentionSeconds {
  readonly completed: number | null;
  readonly failed: number | null;
}

/** Converts a retention to seconds. */
export function toRetentionSeconds(retention: Retention | undefined): RetentionSeconds {
  const { completed, failed } = typeof retention === "object" ? retention : { completed: retention, failed: retention };
  return { completed: toSecondsKept(completed), failed: toSecondsKept(failed) };
}

function toSecondsKept(duration: Duration | undefined): number | null {
  if (duration === undefined) return null;
  return duration === Infinity ? Infinity : toSeconds(duration, "retention");
}
