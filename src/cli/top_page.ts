import type { QueueActivity, RecentError } from "../store/activity.ts";
import { deliversAlerts } from "../store/alerts.ts";
import type { ConsumerState } from "../store/consumer_records.ts";
import { formatRate, isSuspended } from "./activity.ts";
import { formatBytes } from "./bytes.ts";
import { ageOf } from "./consumers.ts";
import { type Cell, cut, renderTable, type Table } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge, formatClock, formatSeconds } from "../times.ts";

/** What `top` shows in one frame. */
export interface Snapshot {
  readonly database: string;
  /** The span of rates and errors. */
  readonly seconds: number;
  readonly queues: readonly QueueActivity[];
  readonly consumers: readonly ConsumerState[];
  readonly errors: readonly RecentError[];
}

/** A part of the page: a heading, and a row for each of `all`. */
interface Part {
  readonly table: Table;
  readonly all: number;
}

/** The least rows that a part has room for, if it has as many. */
const LEAST_ROWS = 2;
/** The lines of a part that are no rows: an empty line, and its header. */
const FRAME = 2;

/** Makes the lines of a frame, as many as fit: the title, then queues, consumers, running tasks and errors. */
export function renderTop(snapshot: Snapshot, terminal: Terminal): string[] {
  const parts = [queuesOf(snapshot), consumersOf(snapshot), runningOf(snapshot), errorsOf(snapshot)]
    .filter(({ table }) => table.rows.length > 0);
  const rooms = share(parts.map(({ table }) => table.rows.length), terminal.height - 1 - parts.length * FRAME);
  const lines = parts.flatMap(({ table, all }, i) => {
    const rows = table.rows.slice(0, rooms[i]);
    if (rows.length === 0) return [];
    const [header, ...body] = renderTable(terminal, { ...table, rows });
    const left = all - rows.length;
    const more = left > 0 ? terminal.style("dim", `  and ${left} more`) : "";
    return ["", cutTo(terminal, `${header}`, more), ...body];
  });
  return [terminal.style("bold", cut(titleOf(snapshot), terminal.width)), ...lines];
}

/** Shares `room` rows among parts that want some: each gets a few, and those that want more share what is left. */
export function share(wanted: readonly number[], room: number): number[] {
  const given = wanted.map((rows) => Math.min(rows, LEAST_ROWS));
  let left = room - given.reduce((sum, rows) => sum + rows, 0);
  for (let part = given.length - 1; left < 0 && part >= 0; part--) {
    const taken = Math.min(given[part]!, -left);
    given[part]! -= taken;
    left += taken;
  }
  if (left === Infinity) return [...wanted];
  while (left > 0 && given.some((rows, part) => rows < wanted[part]!)) {
    for (const [part, rows] of given.entries()) {
      if (left === 0 || rows >= wanted[part]!) continue;
      given[part]!++;
      left--;
    }
  }
  return given;
}

/** The header of a table, with how many rows are left out if that fits beside it. */
function cutTo({ width }: Terminal, header: string, more: string): string {
  return more && header.length + more.length <= width ? header + more : header;
}

function titleOf({ database, seconds, queues, consumers }: Snapshot): string {
  const ordinary = consumers.filter((consumer) => !deliversAlerts(consumer));
  const live = ordinary.filter(({ state }) => state === "live");
  const crashed = ordinary.length - live.length;
  const sum = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
  const rate = sum(queues.map(({ completed, failed }) => completed + failed)) / seconds;
  return [
    formatClock(new Date()),
    `${live.length} ${live.length === 1 ? "consumer" : "consumers"}${crashed > 0 ? `, ${crashed} crashed` : ""}`,
    `${sum(live.map(({ running }) => running))} of ${sum(live.map(({ concurrency }) => concurrency))} running`,
    `${formatRate(rate)}/s`,
    database,
  ].join("  ");
}

function queuesOf({ queues, seconds }: Snapshot): Part {
  const hasSuspended = queues.some(isSuspended);
  const rows = queues.map(({ queue, completed, failed, retried, due, waiting, suspended, oldest }): Cell[] => [
    queue,
    due === null ? "·" : String(due),
    waiting === null ? "·" : String(waiting),
    ...(hasSuspended ? [suspended === null ? "·" : String(suspended)] : []),
    oldest === null ? "" : formatSeconds(oldest),
    formatRate((completed + failed) / seconds),
    failed > 0 ? { text: String(failed), style: "red" } : "0",
    retried > 0 ? { text: String(retried), style: "yellow" } : "0",
  ]);
  const rare = hasSuspended ? ["suspended"] : [];
  const header = ["queue", "due", "waiting", ...rare, "oldest", "per s", "failed", "retried"];
  return { table: { header, rows, right: header.map((_, column) => column).slice(1) }, all: rows.length };
}

function consumersOf({ consumers }: Snapshot): Part {
  const rows = consumers.map((consumer): Cell[] => {
    const { name, host, pid, release, queues, running, concurrency, seen, state, memory } = consumer;
    return [
      name ?? `${host}:${pid}`,
      release ?? "",
      `${running} of ${concurrency}`,
      memory === null ? "" : formatBytes(memory),
      state === "crashed" ? { text: `crashed, seen ${formatAge(seen)}`, style: "red" } : formatAge(seen),
      queues.join(","),
    ];
  });
  const header = ["consumer", "release", "running", "memory", "seen", "queues"];
  return { table: { header, rows, right: [2, 3], optional: [1] }, all: rows.length };
}

function runningOf({ consumers }: Snapshot): Part {
  const tasks = consumers.flatMap(({ name, host, pid, runningTasks }) =>
    runningTasks.map((task) => ({ ...task, on: name ?? `${host}:${pid}` }))
  ).sort((a, b) => a.since.getTime() - b.since.getTime());
  const rows = tasks.map(({ id, funcName, since, on }): Cell[] => [
    ageOf(since),
    String(id),
    funcName,
    on,
  ]);
  const all = consumers.reduce((sum, { running }) => sum + running, 0);
  return { table: { header: ["running", "id", "task", "on"], rows, right: [0, 1] }, all };
}

function errorsOf({ errors }: Snapshot): Part {
  const rows = errors.map(({ funcName, name, message, attempts, last, lastTaskId }): Cell[] => [
    formatAge(last),
    String(attempts),
    String(lastTaskId),
    funcName,
    { text: message === null ? name : `${name}: ${message}`, style: "red" },
  ]);
  return { table: { header: ["failing", "times", "last id", "task", "error"], rows, right: [1, 2] }, all: rows.length };
}
