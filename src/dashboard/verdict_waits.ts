import type { Waits } from "../store/waits.ts";
import { filterText } from "./filter.ts";
import { type Html, markup } from "./html.ts";
import { formatNumber } from "./parts/numbers.ts";
import type { Entry, Link, Rule } from "./verdict_entry.ts";
import { RETRIES, UNSIGNALED } from "./verdict_thresholds.ts";

const DAY = 86_400_000;

/** The filter for the tasks that wait for something. */
export function waitFilter({ kind, name }: Pick<Waits, "kind" | "name">): string {
  return filterText({ waits: `${kind}:${name}` });
}

/** `The step charge fails: 12 tasks try it again later`: failed tries of steps are no failed attempts. */
const stepFails: Rule = {
  find({ waits }, link) {
    return waits.filter(({ kind, tasks }) => kind === "retry" && tasks >= RETRIES).map((wait): Entry => ({
      id: `retries:${wait.name}`,
      rank: "slow",
      shape: "later",
      sentence: markup`<b>The step ${nameOf(wait, link)} fails</b>: ${tasksOf(wait)} try it again later`,
      evidence: "Their attempts are not counted as failed",
      since: wait.since,
      steps: [{ label: "See", href: link("/tasks", { q: waitFilter(wait) }) }],
    }));
  },
  more: [(count) => `${count === 1 ? "1 other step fails" : `${count} other steps fail`}`, "/waits"],
};

/** `3 tasks wait for the signal approved`, and the oldest has for longer than a month. */
const unsignaled: Rule = {
  find({ waits, now }, link) {
    const latest = now.getTime() - UNSIGNALED * DAY;
    return waits.filter(({ kind, since }) => kind === "signal" && since.getTime() < latest).map((wait): Entry => ({
      id: `signal:${wait.name}`,
      rank: "odd",
      shape: "suspended",
      sentence: markup`<b>${tasksOf(wait)} wait${wait.tasks === 1 ? "s" : ""} for the signal ${nameOf(wait, link)}</b>`,
      evidence: `The oldest has waited for more than ${UNSIGNALED} days`,
      since: wait.since,
      steps: [{ label: "See", href: link("/tasks", { q: waitFilter(wait) }) }],
    }));
  },
  more: [(count) => `${count === 1 ? "1 other signal is" : `${count} other signals are`} waited for`, "/waits"],
};

function tasksOf({ tasks, more }: Waits): string {
  return `${formatNumber(tasks)}${more ? "+" : ""} ${tasks === 1 ? "task" : "tasks"}`;
}

function nameOf(wait: Waits, link: Link): Html {
  return markup`<a class="name" href="${link("/tasks", { q: waitFilter(wait) })}"><bdi>${wait.name}</bdi></a>`;
}

/** The rules about what suspended tasks wait for. */
export const WAIT_RULES: readonly Rule[] = [stepFails, unsignaled];
