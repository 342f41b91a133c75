import type { Emitter, Events } from "../events.ts";
import type { Redactor } from "../privacy/redaction.ts";

/**
 * A logger with categories, as that of LogTape: `getLogger("app").getChild("firefly")`. Firefly needs no more of it than
 * this, so that the application alone decides on the library and its version.
 */
export interface CategoryLogger {
  /** Returns the logger of a category below this one. */
  getChild(category: readonly [string, ...string[]]): CategoryLogger;
  /** Logs a detail for developers. `{name}` in the message stands for a property. */
  debug(message: string, properties?: Record<string, unknown>): void;
  /** Logs a normal event. */
  info(message: string, properties?: Record<string, unknown>): void;
  /** Logs a warning. */
  warn(message: string, properties?: Record<string, unknown>): void;
  /** Logs an error. */
  error(message: string, properties?: Record<string, unknown>): void;
}

type Line = readonly [category: string, level: "debug" | "info" | "warn" | "error", message: string];

/** The line of each event; those of handlers' own lines are made in {@linkcode logTo}. */
const LINES: { readonly [E in Exclude<keyof Events, "log">]: Line } = {
  scheduled: ["schedule", "debug", "Task {task} {name} was scheduled into {queue}"],
  started: ["attempt", "debug", "Attempt {attempt} of task {task} {name} starts"],
  completed: ["attempt", "info", "Task {task} {name} completed in {seconds} s"],
  failed: ["attempt", "error", "Task {task} {name} failed: {error}"],
  retried: ["attempt", "warn", "Attempt {attempt} of task {task} {name} failed and is retried in {delay} s: {error}"],
  suspended: ["attempt", "debug", "Attempt {attempt} of task {task} {name} is suspended"],
  returned: ["attempt", "warn", "Task {task} {name} returned to its queue: {reason}"],
  cancelled: ["attempt", "info", "Task {task} {name} was cancelled while it ran"],
  lost: ["attempt", "warn", "Attempt {attempt} of task {task} {name} no longer held the task: {reason}"],
  "step.completed": ["step", "debug", "Step {step} of task {task} {name} completed in {seconds} s"],
  "step.failed": ["step", "warn", "Step {step} of task {task} {name} failed: {error}"],
  "step.retried": ["step", "warn", "Step {step} of task {task} {name} failed and is retried in {delay} s: {error}"],
  released: ["consumer", "debug", "{tasks} tasks that depended on others were released, and {cancelled} cancelled"],
  rescued: ["attempt", "warn", "Task {task} {name} was rescued from a crashed consumer"],
  parked: ["consumer", "warn", "{count} tasks {name} are parked as no consumer of queue {queue} knows this name"],
  "hook.error": ["consumer", "error", "Hook {hook} threw for task {task} {name}: {error}"],
  "consumer.started": ["consumer", "info", "Consumer {consumerId} started on {database}"],
  "consumer.unserved": ["consumer", "warn", "Tasks go to queues that no live consumer serves: {queues}"],
  "consumer.stopping": ["consumer", "info", "Consumer {consumerId} stops and waits for {running} attempts"],
  "consumer.stopped": ["consumer", "info", "Consumer {consumerId} stopped: {completed} completed, {failed} failed"],
  "consumer.error": ["consumer", "error", "Cannot {action}; retrying: {error}"],
  "consumer.recovered": ["consumer", "info", "Can {action} again"],
  "consumer.scaled": [
    "consumer",
    "info",
    "Consumer {consumerId} runs up to {concurrency} tasks at a time, not {before}",
  ],
  "consumer.expired": ["consumer", "error", "Consumer {consumerId} could not renew its lease in time"],
  "consumer.blocked": ["consumer", "warn", "The event loop was blocked for {seconds} s"],
  "dashboard.error": ["dashboard", "error", "Page {path} of the dashboard failed: {error}"],
  "listener.connected": ["listener", "debug", "Listening on {channels}"],
  "listener.lost": ["listener", "error", "The connection for notifications is lost; polling: {error}"],
  "listener.unavailable": ["listener", "warn", "Notifications do not arrive; polling: {error}"],
};

/**
 * Logs the events of an instance: each in the category of its stage, and the lines of handlers in `task` and the name of
 * the task. Returns functions that unsubscribe.
 */
export function logTo(
  logger: CategoryLogger | undefined,
  { events, redactor }: { readonly events: Emitter; readonly redactor: Redactor },
): (() => void)[] {
  if (logger === undefined) return [];
  const loggers = new Map<string, CategoryLogger>();
  const childOf = (...category: [string, ...string[]]) => {
    const key = category.join("\n");
    let child = loggers.get(key);
    if (!child) loggers.set(key, child = logger.getChild(category));
    return child;
  };
  const onLog = events.on("log", ({ level, message, fields, ...attempt }) => {
    // A brace of the handler's own must not name a property.
    childOf("task", attempt.funcName)[level](message.replaceAll(/[{}]/g, "$&$&"), {
      ...fields,
      ...propertiesOf(attempt),
    });
  });
  const others = Object.entries(LINES).map(([event, [category, level, message]]) =>
    events.on(event as keyof Events, (detail) => {
      childOf(category)[level](message, propertiesOf(redactor.redact(detail)));
    })
  );
  return [onLog, ...others];
}

/** The detail of an event with the names that log lines have. */
function propertiesOf(detail: object): Record<string, unknown> {
  const { id, funcName, traceId, step, ...rest } = detail as {
    id?: number;
    funcName?: string;
    traceId?: string | null;
    step?: string | null;
  };
  return {
    ...(id === undefined ? {} : { task: id }),
    ...(funcName === undefined ? {} : { name: funcName }),
    ...(step === undefined || step === null ? {} : { step }),
    ...rest,
    ...(traceId ? { trace: traceId } : {}),
  };
}
