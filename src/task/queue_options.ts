import { checkQueueName, checkRetention } from "./definition.ts";
import type { QueueOptions } from "./options.ts";
import { type RetentionSeconds, toRetentionSeconds } from "./retention.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** The options of a queue, as they are stored; null if not set. */
export interface QueueSettings {
  readonly name: string;
  readonly retention: RetentionSeconds;
  readonly notify: "asleep" | "always" | null;
}

const OPTION_KEYS = ["retention", "notify"];

/**
 * Checks the options of an instance's queues.
 *
 * @throws {TypeError | RangeError} If a name or an option is wrong.
 */
export function checkQueues(queues: Readonly<Record<string, QueueOptions>>, action: string, schema: string): void {
  for (const [name, options] of Object.entries(queues)) {
    checkQueueName(name, action, schema);
    refuseUnknownKeys(options, OPTION_KEYS, `${action} with queue "${name}"`);
    const { retention, notify } = options;
    if (retention !== undefined) checkRetention(retention, `${action} with queue "${name}"`);
    if (notify === undefined || notify === "asleep" || notify === "always") continue;
    throw new RangeError(
      `Cannot ${action} with queue "${name}" as "notify" must be "asleep" or "always": current value is ${
        JSON.stringify(notify)
      }`,
    );
  }
}

/** Converts the options of queues to stored settings. Leaves out queues without any option. */
export function toQueueSettings(queues: Readonly<Record<string, QueueOptions>> = {}): QueueSettings[] {
  return Object.entries(queues)
    .filter(([, { retention, notify }]) => retention !== undefined || notify !== undefined)
    .map(([name, { retention, notify }]) => ({
      name,
      retention: toRetentionSeconds(retention),
      notify: notify ?? null,
    }));
}
