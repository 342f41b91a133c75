import {
  readFailures,
  readLongRuns,
  readPausedStates,
  readServedBacklog,
  readTableSizes,
  type TableSize,
} from "../store/health_load.ts";
import { type Check, counted, type Finding, found, listed, ok } from "./check.ts";

/** From how many seconds on a due task of a served queue has waited for long. */
const LONG_WAIT = 300;
/** From how many failed attempts of a name within an hour on, if no more of them completed, they are a storm. */
const STORM = 100;
/** A task runs for long if it has run for this many seconds, and for this many times as long as its name takes. */
const [LONG_RUN, TIMES_USUAL] = [60, 10];
/** From how many bytes on the tables are large. */
const LARGE = 20 * 1024 ** 3;

/** The length of a time in words of two units at most: `3 h 20 min`. */
function lengthOf(seconds: number): string {
  const units = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]] as const;
  const at = units.findIndex(([unit]) => seconds >= unit);
  if (at === -1) return `${seconds.toFixed(2)} s`;
  const [[unit, name], next] = [units[at]!, units[at + 1]];
  const rest = next ? Math.floor((seconds % unit) / next[0]) : 0;
  return `${Math.floor(seconds / unit)} ${name}${next && rest > 0 ? ` ${rest} ${next[1]}` : ""}`;
}

function countedDue(due: number): string {
  return due > 10_000 ? "more than 10000 due tasks" : counted(due, "due task");
}

const paused: Check = {
  name: "paused queues",
  after: ["schema"],
  async ask(target) {
    const queues = await target.read(readPausedStates);
    const forgotten = queues.filter(({ due }) => due > 0);
    if (forgotten.length === 0) {
      return ok(queues.length > 0 ? `${listed(queues.map(({ name }) => name))}, without due tasks` : "none");
    }
    const named = forgotten.map(({ name, due, seconds, by, reason }) =>
      `${name} has ${countedDue(due)} and is paused${seconds === null ? "" : ` for ${lengthOf(seconds)}`}` +
      `${by === null ? "" : ` by ${by}`}${reason === null ? "" : `, "${reason}"`}`
    );
    return found(
      "warning",
      listed(named, 3),
      ...forgotten.slice(0, 5).map(({ name }) => `Resume it: firefly resume ${name}`),
    );
  },
};

const backlog: Check = {
  name: "backlog",
  after: ["schema"],
  async ask(target) {
    const queues = await target.read(readServedBacklog);
    const old = queues.filter(({ seconds }) => seconds >= LONG_WAIT);
    if (old.length === 0) {
      const [oldest] = queues;
      return ok(
        oldest
          ? `the oldest due task has waited for ${lengthOf(Math.max(0, oldest.seconds))}`
          : "no due tasks in queues with consumers",
      );
    }
    return found(
      "warning",
      listed(
        old.map(({ queue, due, seconds, consumers }) =>
          `${queue} has ${counted(due, "due task")}, the oldest for ${lengthOf(seconds)}, and ${
            counted(consumers, "live consumer")
          }`
        ),
        3,
      ),
      ...old.slice(0, 5).map(({ queue }) =>
        `Start more consumers (firefly consume --queue ${queue}), or see why they wait: firefly explain --queue ${queue}`
      ),
    );
  },
};

const failures: Check = {
  name: "failures",
  after: ["schema"],
  async ask(target) {
    const all = await target.read(readFailures);
    const storms = all.filter(({ failed, completed }) => failed >= STORM && failed >= completed);
    const total = all.reduce((sum, { failed }) => sum + failed, 0);
    if (storms.length === 0) return ok(`${counted(total, "attempt")} failed within the last hour`);
    return found(
      "warning",
      listed(
        storms.map(({ funcName, failed, completed, error }) =>
          `${counted(failed, "attempt")} of "${funcName}" failed within the last hour${
            error ? ` (${error})` : ""
          }, and ${counted(completed, "task")} completed`
        ),
        3,
      ),
      ...storms.slice(0, 5).map(({ funcName, queue }) =>
        `See the errors: firefly list --name ${funcName}; stop the attempts: firefly pause ${queue}`
      ),
    );
  },
};

const runs: Check = {
  name: "long runs",
  after: ["schema"],
  async ask(target) {
    const running = await target.read((sql) => readLongRuns(sql, LONG_RUN));
    const long = running.filter(({ seconds, usual }) => usual !== null && seconds >= TIMES_USUAL * usual);
    if (long.length === 0) return ok("no task runs for far longer than usual");
    return found(
      "warning",
      listed(
        long.map(({ id, funcName, seconds, usual }) =>
          `task ${id} "${funcName}" has run for ${lengthOf(seconds)}, usually at most ${lengthOf(usual!)}`
        ),
        3,
      ),
      ...long.slice(0, 3).map(({ id }) =>
        `See which consumer runs it: firefly explain ${id}; end it: firefly cancel ${id}`
      ),
    );
  },
};

const sizes: Check = {
  name: "table sizes",
  after: ["schema"],
  async ask(target) {
    return gradeSizes(await target.read(readTableSizes));
  },
};

/** Grades the sizes of the tables, the largest first. */
export function gradeSizes(tables: readonly TableSize[]): Finding {
  const total = tables.reduce((sum, { bytes }) => sum + bytes, 0);
  const value = `${sizeOf(total)}: ${listed(tables.map(({ table, bytes }) => `${table} ${sizeOf(bytes)}`), 3)}`;
  if (total < LARGE) return ok(value);
  return found(
    "warning",
    value,
    "Keep records for a shorter time (retention), or delete some: firefly prune, firefly delete",
  );
}

function sizeOf(bytes: number): string {
  const units = ["kB", "MB", "GB", "TB"];
  let [size, unit] = [bytes / 1024, 0];
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024;
  return `${size < 10 && unit > 0 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** The checks of what the queues have to do, and of how it goes. */
export const LOAD_CHECKS: readonly Check[] = [paused, backlog, failures, runs, sizes];
