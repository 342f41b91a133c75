import type { TaskState } from "../../task/record.ts";
import type { PageContext } from "../context.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { amount } from "../parts/numbers.ts";

/** What may be done with many tasks. */
export type BulkName = "retry" | "run" | "reschedule" | "cancel" | "delete";

/** An action on many tasks, and the words of its question. */
export interface BulkAction {
  readonly verb: string;
  /** The past of the verb. */
  readonly done: string;
  readonly tone?: "primary" | "danger";
  /** The states of tasks that it changes. */
  readonly states: readonly TaskState[];
  /** What it does to each. */
  readonly effect: string;
}

// Without "unplaced", which a walk over all records would have to look for: consumers put these back.
const WAITING: readonly TaskState[] = ["ready", "delayed", "retrying", "limited", "dependent", "suspended", "unknown"];
const ALL: readonly TaskState[] = [...WAITING, "unplaced", "running", "completed", "failed", "cancelled"];

/** The actions, in the order of their buttons. */
export const QUESTIONS: Readonly<Record<BulkName, BulkAction>> = {
  retry: {
    verb: "Retry",
    done: "Retried",
    tone: "primary",
    states: ["failed", "cancelled"],
    effect: "Each is scheduled again now, with all of its retries and the history of its errors.",
  },
  run: {
    verb: "Run now",
    done: "Made due",
    states: ["delayed", "retrying"],
    effect: "Each is due now instead of later, with the attempts that it has left.",
  },
  reschedule: {
    verb: "Reschedule",
    done: "Rescheduled",
    states: WAITING,
    effect:
      "Each gets another time, queue or priority, and keeps its other options. A task that has begun is left alone.",
  },
  cancel: {
    verb: "Cancel",
    done: "Cancelled",
    tone: "danger",
    states: [...WAITING, "running"],
    effect: "Each ends as cancelled. Handlers that run are told to stop, and what they return is not stored.",
  },
  delete: {
    verb: "Delete",
    done: "Deleted",
    tone: "danger",
    states: ALL,
    effect: "Their records, arguments, results and errors are gone for good. Nothing that they have done is undone.",
  },
};

/** Whether a text names an action. */
export function isBulkName(name: string): name is BulkName {
  return Object.hasOwn(QUESTIONS, name);
}

/** The actions that can change tasks in these states; null is any. */
export function actionsFor(states: readonly TaskState[] | null): BulkName[] {
  const names = Object.keys(QUESTIONS) as BulkName[];
  return names.filter((name) => states === null || QUESTIONS[name].states.some((state) => states.includes(state)));
}

/** The states in which an action changes tasks of a query. */
export function statesFor(name: BulkName, states: readonly TaskState[] | null): readonly TaskState[] {
  return QUESTIONS[name].states.filter((state) => states === null || states.includes(state));
}

/** What an action did, as parameters of the address of a list. */
export function flashQuery(name: BulkName, { done, left }: { done: number; left: number }): Record<string, string> {
  return { did: name, tasks: String(done), ...left > 0 ? { left: String(left) } : {} };
}

/** Says what the action did that led to this page. */
export function flashOf({ url }: PageContext): Html {
  const did = url.searchParams.get("did") ?? "";
  const tasks = countIn(url, "tasks");
  if (!isBulkName(did) || tasks === undefined) return NOTHING;
  const left = countIn(url, "left") ?? 0;
  const rest = left > 0 &&
    ` ${amount(left, "task")} had changed meanwhile and ${left === 1 ? "was" : "were"} left alone.`;
  return markup`<div class="tell ok-w" role="status"><p><b>${QUESTIONS[did].done} ${
    amount(tasks, "task")
  }.</b>${rest}</p></div>`;
}

function countIn(url: URL, name: string): number | undefined {
  const text = url.searchParams.get(name) ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
