import { type Duration, toSeconds } from "../duration.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** Where alerts are sent, and how they are signed. */
export interface AlertWebhook {
  /** The address that alerts are sent to by POST: `https:`, or `http:` in a network of your own. */
  url: string;
  /**
   * Signs each alert, by HMAC-SHA256 as https://www.standardwebhooks.com has it: `whsec_` and Base64, or any other text.
   * Without it, alerts are not signed.
   */
  secret?: string;
  /** Further headers of the request, such as `authorization`. */
  headers?: Record<string, string>;
}

/** Which failures to report. */
export interface FailedOptions {
  /** Only tasks of these queues. @default all */
  queue?: string | string[];
  /** Only tasks of these names. @default all */
  name?: string | string[];
  /** How long after an alert of an error the next one reports what failed with it meanwhile. @default "10m" */
  every?: Duration;
}

/** When a backlog is worth an alert: if one of `olderThan` and `moreThan` is exceeded. */
export interface BacklogOptions {
  /** The queues to look at. @default all, each on its own */
  queue?: string | string[];
  /** For how long the oldest task may be due without being claimed. */
  olderThan?: Duration;
  /** How many tasks may be due. */
  moreThan?: number;
  /** How long after an alert of a backlog that is still there the next one follows. @default "1h" */
  every?: Duration;
}

/** Alerts that consumers send without code: see docs/alerts.md. */
export interface AlertOptions {
  /** Where to send them. */
  webhook: AlertWebhook;
  /** Whether to report tasks that failed for good, all that failed with one error at once. @default false */
  onFailed?: boolean | FailedOptions;
  /** Which backlogs to report, and when they are over. @default none */
  onBacklog?: BacklogOptions | BacklogOptions[];
  /** Whether to report consumers whose lease expired: their processes crashed, or lost the database. @default false */
  onConsumerLost?: boolean;
}

/** A condition on backlogs, checked, in seconds. */
export interface BacklogCondition {
  readonly queues: readonly string[] | null;
  readonly olderThan: number;
  readonly moreThan: number;
  readonly every: number;
}

/** Alerts, checked and with their defaults, in seconds. */
export interface AlertConfig {
  readonly webhook: Readonly<AlertWebhook>;
  readonly failed: { readonly queues: string[] | null; readonly names: string[] | null; readonly every: number } | null;
  readonly backlogs: readonly BacklogCondition[];
  readonly lost: boolean;
}

const TEN_MINUTES = 600;
const ONE_HOUR = 3600;

/**
 * Checks the option `alerts`.
 *
 * @throws {TypeError | RangeError} If one of its members is wrong.
 */
export function checkAlerts(options: AlertOptions, action: string): AlertConfig {
  refuseUnknownKeys(options, ["webhook", "onFailed", "onBacklog", "onConsumerLost"], action);
  const { onFailed = false, onBacklog = [], onConsumerLost = false } = options;
  checkWebhook(options.webhook, action);
  if (typeof onConsumerLost !== "boolean") {
    throw new TypeError(`Cannot ${action} as "alerts.onConsumerLost" must be true or false`);
  }
  return {
    webhook: options.webhook,
    failed: onFailed === false ? null : checkFailed(onFailed === true ? {} : onFailed, action),
    backlogs: [onBacklog].flat().map((backlog) => checkBacklog(backlog, action)),
    lost: onConsumerLost,
  };
}

function checkWebhook(webhook: AlertWebhook | undefined, action: string): void {
  if (typeof webhook !== "object" || webhook === null) {
    throw new TypeError(`Cannot ${action} as "alerts.webhook" must be an object with a "url"`);
  }
  refuseUnknownKeys(webhook, ["url", "secret", "headers"], action);
  // The address may hold a secret of its own, so no message repeats it.
  const protocol = URL.canParse(webhook.url) ? new URL(webhook.url).protocol : undefined;
  if (protocol !== "https:" && protocol !== "http:") {
    throw new TypeError(`Cannot ${action} as "alerts.webhook.url" must be an address with https: or http:`);
  }
  if (webhook.secret !== undefined && (typeof webhook.secret !== "string" || webhook.secret === "")) {
    throw new TypeError(`Cannot ${action} as "alerts.webhook.secret" must be text`);
  }
  try {
    new Headers(webhook.headers);
  } catch {
    throw new TypeError(`Cannot ${action} as "alerts.webhook.headers" must be an object of valid headers`);
  }
}

function checkFailed(options: FailedOptions, action: string): NonNullable<AlertConfig["failed"]> {
  refuseUnknownKeys(options, ["queue", "name", "every"], action);
  const { queue, name, every = TEN_MINUTES } = options;
  return {
    queues: toList(queue, "onFailed.queue", action),
    names: toList(name, "onFailed.name", action),
    every: toSeconds(every, "alerts.onFailed.every"),
  };
}

function checkBacklog(options: BacklogOptions, action: string): BacklogCondition {
  refuseUnknownKeys(options, ["queue", "olderThan", "moreThan", "every"], action);
  const { queue, olderThan, moreThan = Infinity, every = ONE_HOUR } = options;
  if (olderThan === undefined && options.moreThan === undefined) {
    throw new TypeError(`Cannot ${action} as "alerts.onBacklog" needs "olderThan" or "moreThan"`);
  }
  if (typeof moreThan !== "number" || !(moreThan >= 0)) {
    throw new RangeError(
      `Cannot ${action} as "alerts.onBacklog.moreThan" must be a number: current value is ${moreThan}`,
    );
  }
  return {
    queues: toList(queue, "onBacklog.queue", action),
    olderThan: olderThan === undefined ? Infinity : toSeconds(olderThan, "alerts.onBacklog.olderThan"),
    moreThan,
    every: toSeconds(every, "alerts.onBacklog.every"),
  };
}

function toList(value: string | string[] | undefined, option: string, action: string): string[] | null {
  if (value === undefined) return null;
  const list = [value].flat();
  if (list.length > 0 && list.every((item) => typeof item === "string")) return list;
  throw new TypeError(`Cannot ${action} as "alerts.${option}" must be a name, or a list of them`);
}
