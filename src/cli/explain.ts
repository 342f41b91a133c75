import type { Firefly } from "../firefly/firefly.ts";
import type { Explanation, Reason } from "../task/explanation.ts";
import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { escapeLine } from "./escape.ts";
import { EXIT } from "./exit_code.ts";
import { findUnknownWords, reportMissing } from "./filter.ts";
import { STATE_STYLES } from "./record_page.ts";
import { withInstance } from "./settings.ts";
import type { Terminal } from "./terminal.ts";
import { formatAge, formatTime } from "../times.ts";
import { wrap } from "./wrap.ts";

/** `explain`: explains why a task does not run. */
export const explain: Command = {
  name: "explain",
  usage: "[id]",
  positionals: [0, 1],
  summary: "Explain why a task or a queue does not run, and what to do about it",
  details: "It lists all reasons: first those that need action, then those that pass with time. With --queue, it " +
    "explains the task that consumers take next from the queue: the first that may run, else the one that waits and is " +
    "due first.",
  flags: { queue: { value: "name", short: "q", description: "Explain the next task of this queue" } },
  examples: ["explain 12", "explain --queue mail", "explain 12 --json | jq -r '.reasons[].reason'"],
  async run(args, terminal) {
    const [[id, ...more], queue] = [args.ids(), args.text("queue")];
    const isOne = queue === undefined ? id !== undefined && more.length === 0 : id === undefined;
    if (!isOne) throw usageError("explain", "it takes exactly one id, or --queue");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const found = queue === undefined ? await ff.tasks.explain(id!) : await ff.tasks.explainQueue(queue);
      if (!found) return await reportEmpty(queue!, ff, terminal);
      const explanation = terminal.redactor.redact(found);
      if (terminal.json) await terminal.printJson(toSnakeCase(explanation));
      else await terminal.print(renderExplanation(explanation, terminal));
      return EXIT.done;
    });
  },
};

/** Says that no task of the queue waits, or that there is no such queue. */
async function reportEmpty(queue: string, ff: Firefly, terminal: Terminal): Promise<number> {
  const missing = await findUnknownWords(ff, { names: [], queues: [queue] });
  if (missing.length === 0) terminal.note(`No task of queue "${queue}" waits: see firefly queues`);
  return reportMissing(missing, terminal);
}

/** Renders an explanation for people: each reason with its time on this machine's clock, and with advice. */
export function renderExplanation(explanation: Explanation, terminal: Pick<Terminal, "style" | "width">): string {
  const { id, status, reasons } = explanation;
  const heading = `${terminal.style("bold", `Task ${id}`)}  ${terminal.style(STATE_STYLES[status], status)}`;
  return [heading, ...reasons.flatMap((reason) => ["", ...renderReason(reason, explanation, terminal)])].join("\n");
}

function renderReason(
  reason: Reason,
  { id, reasons }: Explanation,
  terminal: Pick<Terminal, "style" | "width">,
): string[] {
  const { width } = terminal;
  const time = timeOf(reason);
  const mayNotRetry = reasons.some(({ reason }) => ["compensated", "unique", "unmet"].includes(reason));
  const advices = reason.reason === "ended" && mayNotRetry ? [] : adviceOn(id, reason);
  const details = [
    ...(time ? [`${formatTime(time)}, ${formatAge(time)}`] : []),
    ...advices.flatMap((advice) => wrap(escapeLine(advice), width - 2).map((line) => terminal.style("cyan", line))),
  ];
  return [...wrap(escapeLine(reason.message), width), ...details.map((line) => `  ${line}`)];
}

/** The time in a reason, if it has a valid one. */
function timeOf(reason: Reason): Date | undefined {
  const time = "until" in reason ? reason.until : "since" in reason ? reason.since : "at" in reason ? reason.at : null;
  return time && !Number.isNaN(time.getTime()) ? time : undefined;
}

/** Advice on a reason; empty if there is nothing to do. */
function adviceOn(id: number, reason: Reason): string[] {
  switch (reason.reason) {
    case "ended":
      return reason.status === "completed" ? [] : [`Schedule it again: firefly retry ${id}`];
    case "unique":
      return [`See its duplicate: firefly show ${reason.taskId}`];
    case "unmet":
      return [`Retry that one, and this one waits for it again: firefly retry ${reason.root}`];
    case "compensated":
      return [`Run it again as another task: firefly fork ${id}`];
    case "signal":
      return [`Send it: firefly signal ${id} ${reason.name}`];
    case "dependencies":
    case "calls":
      return reason.tasks.slice(0, 3).map(({ taskId }) => `See why it does not run: firefly explain ${taskId}`);
    case "paused":
      return [`Resume the queue: firefly resume ${reason.queue}`];
    case "not_due":
      return [`Run it now: firefly run ${id}`];
    case "no_consumer":
      return [
        `Start a consumer: firefly consume --queue ${reason.queue}`,
        ...reason.elsewhere.slice(0, 3).map((queue) =>
          `Or move it to a queue whose consumers know it: firefly reschedule ${id} --to-queue ${queue}`
        ),
      ];
    case "unknown_name":
      return [
        `Start a consumer whose modules define it: firefly consume --queue ${reason.queue}`,
        "If the task was renamed, add its old name to `aliases` in its definition",
      ];
    case "concurrency":
      return reason.holders.slice(0, 3).map(({ taskId }) => `See a task that holds a slot: firefly show ${taskId}`);
    case "behind":
    case "busy":
      return ["If this takes too long, start another consumer, or raise --concurrency"];
    default:
      return [];
  }
}

/** Renames members to snake_case, as in all JSON that the command line prints. */
function toSnakeCase(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toSnakeCase);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      toSnakeCase(member),
    ]),
  );
}
