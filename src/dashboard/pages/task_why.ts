import type { ErrorGroup } from "../../store/task_lists_failed.ts";
import type { Explanation, Reason } from "../../task/explanation.ts";
import type { ListedStep } from "../../store/task_steps.ts";
import type { PageContext } from "../context.ts";
import { filterText } from "../filter.ts";
import { type Html, markup, type Part } from "../html.ts";
import { linkButton } from "../parts/forms.ts";
import { formatCapped } from "../parts/numbers.ts";
import { panel, type Tone } from "../parts/panels.ts";
import { age, formatClock, moment } from "../parts/times.ts";
import { formatSeconds } from "../../times.ts";
import { keyMarkup, waitWords } from "./task_steps.ts";

/** The kind of error with which a task failed, and how many others failed alike. */
export type Alike = ErrorGroup & { readonly others: number };

/** What a box above a task says beside the reasons. */
export interface WhyOptions {
  /** How many attempts a failed task had, if these were all. */
  readonly usedUp: number | undefined;
  readonly alike: Alike | undefined;
  /** When the consumer that runs it was seen last. */
  readonly seen: Date | null;
  /** How far a running task is, and how long others take. */
  readonly progress: Part;
  readonly aside: Part;
  /** What its handler waits for. */
  readonly waits: readonly ListedStep[];
}

/** The box that tells why a task does not run, or how it ended, and what to do about it. */
export function why(
  context: PageContext,
  explained: Explanation,
  { alike, usedUp, seen, progress, aside, waits }: WhyOptions,
): Html {
  const explanation = context.redact(explained, []);
  const [first] = explanation.reasons;
  const points: Part[] = [
    ...waits.map((step) => waitPoint(context, explanation.id, step)),
    ...usedUp === undefined ? [] : [`All ${usedUp} attempts are used up`],
    ...alikePoints(context, alike),
    ...explanation.reasons
      .filter(({ reason }) => waits.length === 0 || reason !== "not_due")
      .flatMap((reason) => adviceOn(context, explanation.id, reason)),
  ];
  const [wait] = waits;
  const tone = wait ? "" : classOf(first);
  return markup`<section class="tell${tone}" aria-label="Why"><p>${
    wait
      ? markup`<b>Its handler waits</b>, since ${age(wait.began, context.now)}`
      : first && headline(context, first, seen)
  }</p><span class="small">${aside}</span>
${points.length > 0 && markup`<ul>${points.map((point) => markup`<li>${point}</li>`)}</ul>`}${progress}</section>`;
}

/** The first reason as a sentence: times in it are those of the page, and errors are set apart. */
function headline({ now }: PageContext, reason: Reason, seen: Date | null): Html {
  if (reason.reason === "ended" && reason.at) {
    const did = reason.status === "cancelled" ? "was cancelled" : reason.status;
    const error = reason.error && markup`: <code>${reason.error.name}: ${reason.error.message}</code>`;
    return markup`<b>It ${did} at ${formatClock(reason.at)}</b>${error} <span class="dim">${
      age(reason.at, now)
    }</span>`;
  }
  if (reason.reason === "running" && reason.host !== null) {
    const length = formatSeconds(Math.max(0, now.getTime() - reason.since.getTime()) / 1000);
    const answered = seen && markup`, which answered ${age(seen, now)}`;
    return markup`<b>Attempt ${reason.attempt} has been running for ${length}</b> on ${reason.host}, process ${reason.pid}${answered}`;
  }
  const time = timeOf(reason);
  if (reason.reason === "not_due" && time) {
    const { error } = reason;
    const after = error &&
      markup`, after attempt ${error.attempt} failed: <code>${error.name}: ${error.message}</code>`;
    return markup`<b>It is not due before ${moment(time, now)}</b>, ${age(time, now)}${after}`;
  }
  return markup`<b>${reason.message}</b>${time && markup` <span class="dim">${age(time, now)}</span>`}`;
}

/** All reasons, where there is more than one. */
export function allReasons(context: PageContext, explained: Explanation): Html | false {
  const { id, reasons } = context.redact(explained, []);
  if (reasons.length < 2) return false;
  const rows = reasons.map((reason, index) => {
    const time = timeOf(reason);
    const note: Part = time
      ? age(time, context.now)
      : isForPeople(reason)
      ? "needs an action"
      : reason.reason === "signal"
      ? "needs a signal"
      : "passes with time";
    return markup`<li><b>${
      index + 1
    } · ${reason.reason}</b><span>${reason.message}</span><span class="note">${note}</span></li>`;
  });
  return panel(
    { id: "reasons", title: "All that keeps it", note: markup`as <code>firefly explain ${id}</code> says` },
    markup`<ol class="lanes">${rows}</ol>`,
  );
}

/** What a handler waits for, since when and until when, with the button that sends a signal. */
function waitPoint(context: PageContext, id: number, step: ListedStep): Html {
  const { name, key, kind } = step;
  const words = { signal: "Signal", sleep: "Sleep", call: "Call", step: "Step", compensation: "Step" }[kind];
  const href = context.href(`/tasks/${id}/step`, { name, key: key || undefined });
  const button = kind === "signal" &&
    linkButton(context, "Signal…", { href: context.href(`/tasks/${id}/signal`, { name }), asks: true });
  return markup`${words} <a href="${href}">${name}</a>${keyMarkup(key)}, ${waitWords(step, context.now)}${
    button && [" ", button]
  }`;
}

const TONES: Partial<Record<Reason["reason"], Tone>> = {
  unknown_name: "hold",
  no_consumer: "hold",
  paused: "hold",
  orphaned: "hold",
  unplaced: "hold",
  quarantined: "hold",
  unique: "hold",
  compensated: "hold",
  unmet: "hold",
};

function classOf(reason: Reason | undefined): string {
  if (reason?.reason === "ended") {
    return reason.status === "failed" ? " bad-w" : reason.status === "completed" ? " ok-w" : "";
  }
  const tone = reason && TONES[reason.reason];
  return tone ? ` ${tone}-w` : "";
}

function isForPeople({ reason }: Reason): boolean {
  return TONES[reason] !== undefined;
}

/** The time in a reason, if it has a valid one. */
function timeOf(reason: Reason): Date | undefined {
  const time = "until" in reason ? reason.until : "since" in reason ? reason.since : "at" in reason ? reason.at : null;
  return time && !Number.isNaN(time.getTime()) ? time : undefined;
}

function alikePoints(context: PageContext, alike: Alike | undefined): Part[] {
  if (!alike || alike.others === 0) return [];
  const q = filterText({ status: "failed", error: `#${alike.fingerprint}` });
  const tasks = alike.others === 1 ? "other task" : "other tasks";
  return [
    markup`${formatCapped(alike.others, 10_000)} ${tasks} of ${alike.func_name} failed alike, first ${
      age(alike.first, context.now)
    }: <a href="${context.href("/tasks", { q })}">see them</a>`,
  ];
}

/** What to do about a reason; empty if there is nothing to do. */
function adviceOn(context: PageContext, id: number, reason: Reason): Part[] {
  const taskLink = (id: number) => markup`<a href="${context.href(`/tasks/${id}`)}">task ${id}</a>`;
  const here = (words: string) => context.viewer.readOnly ? "Run" : words;
  const queueLink = (name: string) => markup`<a href="${context.href(`/queues/${name}`)}">${name}</a>`;
  switch (reason.reason) {
    case "ended":
      return reason.status === "completed"
        ? []
        : [markup`${here("Retry it here, or run")} <code>firefly retry ${id}</code>`];
    case "unique":
      return [markup`See its duplicate, ${taskLink(reason.taskId)}`];
    case "unmet":
      return [markup`Retry ${taskLink(reason.root)}, and this one waits for it again`];
    case "compensated":
      return [markup`Run it again as another task: <code>firefly fork ${id}</code>`];
    case "dependencies":
    case "calls":
      return reason.tasks.slice(0, 3).map(({ taskId, funcName }) => markup`${taskLink(taskId)}, ${funcName}`);
    case "paused":
      return [markup`Resume the queue ${queueLink(reason.queue)}`];
    case "not_due":
      return [markup`${here("Run it now here, or run")} <code>firefly run ${id}</code>`];
    case "no_consumer":
      return [
        markup`Start a consumer: <code>firefly consume --queue ${reason.queue}</code>`,
        ...reason.elsewhere.slice(0, 3).map((queue) =>
          markup`Or reschedule it to ${queueLink(queue)}, whose consumers know it`
        ),
      ];
    case "unknown_name":
      return [
        ...reason.near.map((name) => markup`Consumers of ${queueLink(reason.queue)} know <code>${name}</code>`),
        markup`Start a consumer whose modules define it: <code>firefly consume --queue ${reason.queue}</code>`,
        "If the task was renamed, list its old name in the option aliases",
        ...reason.elsewhere.slice(0, 3).map((queue) =>
          markup`Or reschedule it to ${queueLink(queue)}, whose consumers know it`
        ),
      ];
    case "concurrency":
      return reason.holders.slice(0, 3).map(({ taskId, since }) =>
        markup`${taskLink(taskId)} has a slot, since ${age(since, context.now)}`
      );
    case "behind":
    case "busy":
      return [
        markup`If this takes too long, start another <a href="${
          context.href("/consumers")
        }">consumer</a>, or raise its concurrency`,
      ];
    default:
      return [];
  }
}
