import { checkQueueName, checkRetention } from "./definition.ts";
import { type Duration, toSeconds } from "./duration.ts";
import type { QueueOptions, Retention } from "./options.ts";
import { refuseUnknownKeys } from "./suggest.ts";

/** For how many seconds ended records are kept: Infinity for ever, null where nothing was said. */
export interface RetentionSeconds {
  readonly completed: number | null;
  readonly failed: number | null;
}

/** A retention in seconds. */
export function secondsOfRetention(retention: Retention | undefined): RetentionSeconds {
  const { completed, failed } = typeof retention === "object" ? retention : { completed: retention, failed: retention };
  return { completed: toRetained(completed), failed: toRetained(failed) };
}

/** What is said of queues, in seconds; those of which nothing is said are left out. */
export function retentionsOf(queues: Readonly<Record<string, QueueOptions>> = {}): Map<string, RetentionSeconds> {
  const said = Object.entries(queues).filter(([, { retention }]) => retention !== undefined);
  return new Map(said.map(([name, { retention }]) => [name, secondsOfRetention(retention)]));
}

/**
 * Checks what an instance says of its queues.
 *
 * @throws {TypeError | RangeError} If a name or an option is wrong.
 */
export function checkQueues(queues: Readonly<Record<string, QueueOptions>>, action: string, schema: string): void {
  for (const [name, options] of Object.entries(queues)) {
    checkQueueName(name, action, schema);
    refuseUnknownKeys(options, ["retention"], `${action} with queue "${name}"`);
    if (options.retention !== undefined) checkRetention(options.retention, `${action} with queue "${name}"`);
  }
}

function toRetained(duration: Duration | undefined): number | null {
  if (duration === undefined) return null;
  return duration === Infinity ? Infinity : toSeconds(duration, "retention");
}
