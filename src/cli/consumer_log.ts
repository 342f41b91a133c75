import { DatabaseUnreachable } from "../errors.ts";
import type { AttemptInfo, Events } from "../events.ts";
import { type Duration, toSeconds } from "../duration.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { toJsonSync } from "./json.ts";
import { countTasks } from "./filter.ts";
import type { Log } from "./log.ts";
import { describe } from "./terminal.ts";
import { formatSeconds } from "../times.ts";
import { isError, isInstance, partsOf } from "../thrown.ts";

/** Writes the events of an instance and its consumers to `log`. Returns a function that counts the running attempts. */
export function logEvents(
  ff: Firefly,
  log: Log,
  { pollInterval = "5s" }: { pollInterval?: Duration } = {},
): () => number {
  logConsumers(ff, log);
  logHooks(ff, log);
  logOutages(ff, log, formatSeconds(toSeconds(pollInterval, "pollInterval")));
  return logAttempts(ff, log);
}

function waitsFor({ until, signals, tasks }: Events["suspended"]): string {
  const parts = [
    ...signals.map((name) => `for signal "${name}"`),
    ...(tasks.length > 0 ? [`for ${countTasks(tasks.length)}`] : []),
    ...(until ? [`until ${until.toISOString()}`] : []),
  ];
  return `waits ${parts.join(", ")}`;
}

function logAttempts(ff: Firefly, log: Log): () => number {
  let running = 0;
  ff.on("started", (attempt) => {
    running++;
    log.add({ level: "debug", event: "started", ...about(attempt), ...inWords(attempt) });
  });
  ff.on("completed", (attempt) => {
    running--;
    const { seconds } = attempt;
    const fields = { ...about(attempt).fields, seconds };
    log.add({ level: "info", event: "completed", ...about(attempt), text: `in ${formatSeconds(seconds)}`, fields });
  });
  ff.on("failed", (attempt) => {
    running--;
    const error = ff.redactor.redact(attempt.error);
    log.add({ level: "error", event: "failed", ...about(attempt), text: inFull(error), error });
  });
  ff.on("retried", (attempt) => {
    running--;
    const { delay } = attempt;
    const error = ff.redactor.redact(attempt.error);
    const text = `${inFull(error)} (attempt ${attempt.attempt}, retrying in ${formatSeconds(delay)})`;
    log.add({
      level: "warn",
      event: "retried",
      ...about(attempt),
      text,
      error,
      fields: { ...about(attempt).fields, delay },
    });
  });
  ff.on("suspended", (attempt) => {
    running--;
    const { until, signals, tasks } = attempt;
    const fields = { ...about(attempt).fields, until, signals, tasks };
    log.add({ level: "debug", event: "suspended", ...about(attempt), text: waitsFor(attempt), fields });
  });
  ff.on("returned", (attempt) => {
    running--;
    const text = inFull(ff.redactor.redact(attempt.reason));
    log.add({ level: "warn", event: "returned", ...about(attempt), text });
  });
  ff.on("cancelled", (attempt) => {
    running--;
    log.add({ level: "info", event: "cancelled", ...about(attempt), text: "while it ran" });
  });
  ff.on("lost", (attempt) => {
    running--;
    log.add({ level: "warn", event: "lost", ...about(attempt), text: inFull(ff.redactor.redact(attempt.reason)) });
  });
  logSteps(ff, log);
  ff.on("scheduled", ({ id, funcName, queue, inserted }) => {
    const text = inserted ? `into ${queue}` : "exists already";
    const fields = { id, func_name: funcName, queue, inserted };
    log.add({ level: "debug", event: "scheduled", subject: `${funcName} #${id}`, text, fields });
  });
  ff.on("log", (entry) => {
    const { level, message, fields, step, traceId } = entry;
    const where = { ...(step === null ? {} : { step }), ...(traceId === null ? {} : { trace: traceId }) };
    const extra = Object.keys(fields).length > 0 ? ` ${toJsonSync(fields)}` : "";
    log.add({
      level,
      event: "log",
      ...about(entry),
      text: `${step === null ? "" : `${step}: `}${message}${extra}`,
      fields: { ...about(entry).fields, ...where, message, fields },
    });
  });
  return () => running;
}

function logSteps(ff: Firefly, log: Log): void {
  const of = ({ step, key, kind, seconds, ...attempt }: Events["step.completed"]) => ({
    ...about(attempt),
    fields: { ...about(attempt).fields, step, key, kind, seconds },
  });
  const name = ({ step, key }: Events["step.completed"]) => key === "" ? step : `${step} ${key}`;
  ff.on("step.completed", (entry) => {
    const text = `${name(entry)} in ${formatSeconds(entry.seconds)}`;
    log.add({ level: "debug", event: "step.completed", ...of(entry), text });
  });
  ff.on("step.failed", (entry) => {
    const error = ff.redactor.redact(entry.error);
    log.add({ level: "warn", event: "step.failed", ...of(entry), text: `${name(entry)}: ${inFull(error)}`, error });
  });
  ff.on("step.retried", (entry) => {
    const error = ff.redactor.redact(entry.error);
    const text = `${name(entry)}: ${inFull(error)} (retrying in ${formatSeconds(entry.delay)})`;
    const { fields } = of(entry);
    log.add({
      level: "warn",
      event: "step.retried",
      ...of(entry),
      text,
      error,
      fields: { ...fields, delay: entry.delay },
    });
  });
}

function logConsumers(ff: Firefly, log: Log): void {
  ff.on("consumer.started", ({ consumerId, allQueues, ...started }) => {
    const fields = { consumer: consumerId, ...started, all_queues: allQueues };
    log.add({ level: "info", event: "ready", text: describeStart({ allQueues, ...started }), fields });
  });
  ff.on("consumer.unserved", ({ consumerId, queues }) => {
    log.add({
      level: "warn",
      event: "unserved",
      text: describeUnserved(queues),
      fields: { consumer: consumerId, queues },
    });
  });
  ff.on("parked", ({ funcName, queue, count }) => {
    const text = `${countTasks(count)} "${funcName}" as no consumer of queue "${queue}" knows this name`;
    log.add({ level: "warn", event: "parked", text, fields: { func_name: funcName, queue, count } });
  });
  ff.on("consumer.stopped", ({ consumerId, completed, failed }) => {
    const text = `${completed} completed, ${failed} failed`;
    log.add({ level: "info", event: "stopped", text, fields: { consumer: consumerId, completed, failed } });
  });
  ff.on("consumer.expired", ({ consumerId }) => {
    const text =
      "The lease could not be renewed in time: attempts were aborted, and other consumers may run their tasks now";
    log.add({ level: "error", event: "expired", text, fields: { consumer: consumerId } });
  });
  ff.on("consumer.blocked", ({ consumerId, seconds, cpuSeconds, id, funcName }) => {
    const lastStarted = id === undefined ? "no task had started" : `${funcName} #${id} started last`;
    const text = `The event loop was blocked for ${formatSeconds(seconds)}: ${lastStarted}`;
    const fields = { consumer: consumerId, seconds, cpu_seconds: cpuSeconds, id, func_name: funcName };
    log.add({ level: "warn", event: "blocked", text, fields });
  });
  ff.on("rescued", ({ id, funcName, queue, failed, attemptedBy: by }) => {
    const where = by ? `: process ${by.pid} on ${by.host}${by.release === null ? "" : `, release ${by.release}`}` : "";
    const text = (failed ? "failed, as it crashed its consumers" : "requeued, as its consumer crashed") + where;
    const fields = { id, func_name: funcName, queue, failed, crashed: by };
    log.add({ level: failed ? "error" : "warn", event: "rescued", subject: `${funcName} #${id}`, text, fields });
  });
}

function logHooks(ff: Firefly, log: Log): void {
  ff.on("hook.error", ({ hook, id, funcName, ...thrown }) => {
    const error = ff.redactor.redact(thrown.error);
    const text = `${hook} threw ${inFull(error)}`;
    const fields = { id, func_name: funcName, hook };
    log.add({ level: "error", event: "hook", subject: `${funcName} #${id}`, text, error, withStack: true, fields });
  });
}

/** Logs one line when the database is gone and one when it is back, whatever action notices it first. */
function logOutages(ff: Firefly, log: Log, pollInterval: string): void {
  let since: number | undefined;
  const failing = new Set<string>();
  function onError(what: string, thrown: unknown): void {
    const error = ff.redactor.redact(thrown);
    const isOutage = isInstance(error, DatabaseUnreachable);
    const isKnown = isOutage && since !== undefined;
    if (isOutage) since ??= performance.now();
    else failing.add(what);
    const text = `${isOutage ? "" : `Cannot ${what}: `}${describe(error)}; retrying`;
    log.add({ level: isKnown ? "debug" : "error", event: isOutage ? "outage" : "error", text, error });
  }
  function onSuccess(what: string): void {
    if (failing.delete(what)) log.add({ level: "info", event: "recovered", text: `Can ${what} again` });
    if (since === undefined) return;
    const text = `The database is back after ${formatSeconds((performance.now() - since) / 1000)}`;
    since = undefined;
    log.add({ level: "info", event: "recovered", text });
  }
  ff.on("consumer.error", ({ action, error }) => onError(action, error));
  ff.on("consumer.recovered", ({ action }) => onSuccess(action));
  ff.on("consumer.started", () => onSuccess("start"));
  ff.on("listener.lost", ({ error }) => onError("listen for new tasks", error));
  ff.on("listener.unavailable", ({ error }) => {
    const text = "Notifications cannot arrive behind a transaction pooler: polling every " +
      `${pollInterval}; set listenDatabase, or --listen-database, to a direct URL`;
    log.add({ level: "warn", event: "unavailable", text, error });
  });
  ff.on("listener.connected", ({ channels }) => {
    log.add({ level: "debug", event: "listening", text: `for ${channels.join(", ")}`, fields: { channels } });
    onSuccess("listen for new tasks");
  });
}

/** The most queues that one line of the log names as unserved. */
const MOST_QUEUES = 5;
/** How many characters of names the line about a start shows, of tasks and of crons. */
const NAMES_WIDTH = 60;

/** `tasks` and the other lists are shortened: JSON has them in full. */
function describeStart(
  { name, queues, allQueues, concurrency, database, schema, tasks, crons, version, release }: Omit<
    Events["consumer.started"],
    "consumerId"
  >,
): string {
  const served = `${allQueues ? "all queues, now " : ""}${listNames(queues)}`;
  return [
    `${name === null ? "" : `${name}: `}consuming ${served}, up to ${concurrency} at a time`,
    `${database}, schema ${schema}`,
    `${countTasks(tasks.length)}: ${listNames(tasks)}`,
    ...(crons.length > 0 ? [`${crons.length === 1 ? "1 cron" : `${crons.length} crons`}: ${listNames(crons)}`] : []),
    `Firefly ${version}${release === null ? "" : `, release ${release}`}`,
  ].join("; ");
}

/** Names up to a width, and how many more there are. */
function listNames(names: readonly string[]): string {
  let shown = 1;
  for (let width = names[0]?.length ?? 0; shown < names.length; shown++) {
    width += names[shown]!.length + 2;
    if (width > NAMES_WIDTH) break;
  }
  const rest = names.length - shown;
  return names.slice(0, shown).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** Names one queue with its tasks, or the first {@linkcode MOST_QUEUES} of several. */
export function describeUnserved(queues: Events["consumer.unserved"]["queues"]): string {
  const [first] = queues;
  if (queues.length === 1 && first) {
    const { queue, tasks } = first;
    const who = tasks.length === 1 ? `${tasks[0]} goes` : `${listNames(tasks)} go`;
    return `${who} to "${queue}", which this consumer does not serve: add --queue ${queue}`;
  }
  const names = queues.slice(0, MOST_QUEUES).map(({ queue }) => `"${queue}"`).join(", ");
  const rest = queues.length - MOST_QUEUES;
  return `Tasks go to ${names}${rest > 0 ? ` and ${rest} more` : ""}, which this consumer does not serve: add --queue`;
}

function about({ id, funcName, queue, attempt }: AttemptInfo): { subject: string; fields: object } {
  return { subject: `${funcName} #${id}`, fields: { id, func_name: funcName, queue, attempt } };
}

function inWords({ attempt }: AttemptInfo): { text?: string } {
  return attempt > 1 ? { text: `attempt ${attempt}` } : {};
}

function inFull(error: unknown): string {
  const { name, message } = partsOf(error);
  return isError(error) ? `${name}: ${message}` : `A value that is not an error was thrown: ${message}`;
}
