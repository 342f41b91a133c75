import { TASK_STATUSES } from "../task/record.ts";
import type { QueueState } from "../store/queues.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { type Cell, renderTable } from "./table.ts";
import { formatSeconds } from "./times.ts";

/** `queues`: shows the queues. */
export const queues: Command = {
  name: "queues",
  usage: "",
  positionals: [0, 0],
  summary: "Show the queues: their tasks, their consumers and whether they are paused",
  details:
    "It shows every queue that has tasks, live consumers or settings. OLDEST is how long the oldest due task has been " +
    "waiting; KEPT is how long completed and failed records are kept. Counting all records can take a while.",
  flags: {},
  examples: ["queues", "queues --json | jq 'select(.paused)'"],
  async run(args, terminal) {
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const found = await ff.queues();
      if (terminal.json) {
        for (const queue of found) await terminal.printJson(fieldsOf(queue));
        return EXIT.done;
      }
      if (found.length === 0) terminal.note("There are no queues yet");
      else {
        const header = ["queue", "state", "consumers", ...TASK_STATUSES, "oldest", "kept"];
        const right = [2, ...TASK_STATUSES.map((_, i) => 3 + i)];
        for (const line of renderTable(terminal, { header, rows: found.map(rowOf), right })) await terminal.print(line);
      }
      return EXIT.done;
    });
  },
};

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
  return formatSeconds(Math.max(0, (Date.now() - time.getTime()) / 1000));
}

function rowOf({ name, paused, pausedSince, consumers, counts, oldestDue, retention }: QueueState): Cell[] {
  const isDeserted = consumers === 0 && counts.created > 0;
  return [
    name,
    paused ? { text: pausedSince ? `paused ${sinceOf(pausedSince)}` : "paused", style: "yellow" } : "",
    isDeserted ? { text: "0", style: "red" } : String(consumers),
    ...TASK_STATUSES.map((status) => String(counts[status])),
    oldestDue === null ? "" : formatSeconds(oldestDue),
    [retention.completed, retention.failed].map((kept) => kept === Infinity ? "ever" : formatSeconds(kept)).join(" / "),
  ];
}
