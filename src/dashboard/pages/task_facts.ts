import { toRetrySeconds } from "../../duration.ts";
import type { TaskRow } from "../../store/rows.ts";
import type { TaskSurroundings } from "../../store/task_lists_task.ts";
import type { Backoff } from "../../task/backoff.ts";
import { formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { filterText } from "../filter.ts";
import { type Html, join, markup, type Part } from "../html.ts";
import { amount } from "../parts/numbers.ts";
import { facts, panel } from "../parts/panels.ts";
import { age, formatUtc } from "../parts/times.ts";
import { attemptOf } from "./tasks_table.ts";

/** A task with what its page shows beside its record. */
export type ShownTask = TaskRow & TaskSurroundings;

/** The panel with what is known of a task in short. */
export function factsPanel(context: PageContext, task: ShownTask): Html {
  const { now } = context;
  const { queue, priority, timeout, tags, started, attempted_by: by, rescues } = task;
  const ended = task.completed ?? task.failed ?? task.cancelled;
  const list = (key: "queue" | "tag", value: string) => context.href("/tasks", { q: filterText({ [key]: value }) });
  const when = (time: Date): Part => [formatUtc(time), ", ", age(time, now)];
  const hasRun = started !== null || task.errors.length > 0;
  return panel(
    { id: "facts", title: "Facts" },
    facts([
      ["Queue", markup`<a href="${context.href(`/queues/${queue}`)}">${queue}</a>`],
      ["Attempts", [hasRun ? attemptOf({ ...task, error: task.errors.at(-1) ?? null }) : "none yet", delayOf(task)]],
      ["Crashes", rescues > 0 ? `${amount(rescues, "consumer")} crashed with it` : undefined],
      ["Priority", priority],
      ["Timeout", timeout === null ? undefined : formatSeconds(timeout)],
      [
        "Tags",
        tags.length === 0
          ? undefined
          : join(tags.map((tag) => markup`<a class="tag" href="${list("tag", tag)}">${tag}</a>`), " "),
      ],
      [
        "Unique key",
        task.unique_key === null ? undefined : [markup`<code>${task.unique_key}</code>`, holderOf(context, task)],
      ],
      [
        "Concurrency",
        task.concurrency_key === null ? undefined : [
          markup`<code>${task.concurrency_key}</code>`,
          task.concurrency_limit !== null && `, ${task.concurrency_limit} at a time`,
        ],
      ],
      [
        "Rate",
        task.rate_key === null ? undefined : [
          markup`<code>${task.rate_key}</code>`,
          task.rate_limit !== null && `, ${task.rate_limit} every ${formatSeconds(task.rate_per ?? 0)}`,
        ],
      ],
      [
        "Consumer",
        by === null
          ? undefined
          : markup`<a href="${context.href("/consumers")}">${by.host}, ${by.pid}</a>${
            by.release !== null && `, ${by.release}`
          }`,
      ],
      ["Created", when(task.created)],
      ["Not before", task.not_before > task.created ? when(task.not_before) : undefined],
      ["Started", started === null ? undefined : when(started)],
      [
        ended === task.completed ? "Completed" : ended === task.failed ? "Failed" : "Cancelled",
        ended === null ? undefined : when(ended),
      ],
      ["Kept until", task.kept_until === null ? undefined : keptUntil(task.kept_until)],
    ]),
  );
}

/** Records that are kept for longer than this are kept for ever: 900 years, in milliseconds. */
const FOREVER = 900 * 365 * 86_400_000;

function keptUntil(time: Date): string {
  return !Number.isFinite(time.getTime()) || time.getTime() - Date.now() > FOREVER ? "for ever" : formatUtc(time);
}

/** Which task has the unique key. */
function holderOf(context: PageContext, { id, key_holder }: ShownTask): Part {
  if (key_holder === null) return ", free";
  if (key_holder === String(id)) return ", which it has";
  return markup`, which <a href="${context.href(`/tasks/${key_holder}`)}">task ${key_holder}</a> has`;
}

/** Describes the delay before a retry: `, exponential from 20 s up to 1h`. */
function delayOf({ max_retries, retry_delay, backoff }: ShownTask): string {
  if (max_retries === 0) return "";
  if (retry_delay !== null) return `, ${formatSeconds(retry_delay)} between`;
  if (backoff === null) return "";
  try {
    return `, ${describeBackoff(backoff)}`;
  } catch {
    return ""; // edited by hand
  }
}

function describeBackoff({ kind, delay, max }: Backoff): string {
  const first = formatSeconds(toRetrySeconds(delay, "delay"));
  const longest = max === undefined ? "" : ` up to ${formatSeconds(toRetrySeconds(max, "max"))}`;
  return kind === "fixed" ? `${first} between` : `${kind} from ${first}${longest}`;
}
