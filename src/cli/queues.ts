import type { QueueState } from "../store/queues.ts";
import { CREATED_STATES, TASK_STATES, type TaskState } from "../task/record.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { type Cell, printTable, type Table } from "./table.ts";
import { formatSeconds } from "../times.ts";

/** The states that have a column only if a task is in them. */
const RARE: readonly TaskState[] = [...CREATED_STATES.filter((state) => state !== "ready"), "cancelled"];

/** `queues`: shows the queues. */
export const queues: Command = {
  name: "queues",
  usage: "",
  positionals: [0, 0],
  summary: "Show the queues: their tasks by state, their consumers and whether they are paused",
  details:
    "It shows every queue that has tasks, live consumers or settings. OLDEST is how long the oldest due task has been " +
    "waiting; KEPT is how long completed and failed records are kept. Columns of the rarer states appear only if there " +
    "are such tasks. Above about 180,000 records, ~ marks a number that is an estimate; JSON lists these states in " +
    "counts.estimated.",
  flags: {},
  examples: ["queues", "queues --json | jq 'select(.paused)'", "watch firefly queues --table"],
  async run(args, terminal) {
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const found = await ff.queues();
      if (terminal.json) { for (const queue of found) await terminal.printJson(fieldsOf(queue)); }
      else if (found.length === 0) terminal.note("There are no queues yet");
      else await printTable(terminal, tableOf(found));
      return EXIT.done;
    });
  },
};

function tableOf(found: readonly QueueState[]): Table {
  const states = TASK_STATES.filter((state) => !RARE.includes(state) || found.some(({ counts }) => counts[state] > 0));
  const header = ["queue", "state", "consumers", ...states, "oldest", "kept"];
  const optional = ["kept", "cancelled", "completed"].map((name) => header.indexOf(name)).filter((index) => index >= 0);
  return {
    header,
    rows: found.map((queue) => rowOf(queue, states)),
    right: header.map((_, column) => column).slice(2, -1),
    optional,
  };
}

function fieldsOf(
  { name, paused, pausedSince, pausedBy, pausedReason, consumers, counts, oldestDue, retention }: QueueState,
): object {
  const { completed, failed } = retention;
  return {
    name,
    paused,
    paused_since: pausedSince,
    paused_by: pausedBy,
    paused_reason: pausedReason,
    consumers,
    counts,
    oldest_due: oldestDue,
    // JSON has no infinity.
    retain_completed: completed === Infinity ? null : completed,
    retain_failed: failed === Infinity ? null : failed,
  };
}

function sinceOf(time: Date): string {
  return formatSeconds(Math.max(1, Math.round((Date.now() - time.getTime()) / 1000)));
}

function rowOf(
  { name, paused, pausedSince, consumers, counts, oldestDue, retention }: QueueState,
  states: readonly TaskState[],
): Cell[] {
  const isDeserted = consumers === 0 && counts.created > 0;
  return [
    name,
    paused ? { text: pausedSince ? `paused ${sinceOf(pausedSince)}` : "paused", style: "yellow" } : "",
    isDeserted ? { text: "0", style: "red" } : String(consumers),
    ...states.map((state): Cell => {
      const text = (counts.estimated?.includes(state) && counts[state] > 0 ? "~" : "") + counts[state];
      return RARE.includes(state) && counts[state] === 0 ? { text, style: "dim" } : text;
    }),
    oldestDue === null ? "" : formatSeconds(oldestDue),
    [retention.completed, retention.failed].map((kept) => kept === Infinity ? "ever" : formatSeconds(kept)).join(" / "),
  ];
}
