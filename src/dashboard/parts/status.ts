import type { TaskState } from "../../task/record.ts";
import { classes, type Html, markup } from "../html.ts";

/** The shapes of the style sheet, one for each kind of status. */
export type Shape =
  | "active"
  | "blocked"
  | "cancelled"
  | "completed"
  | "failed"
  | "later"
  | "limited"
  | "paused"
  | "ready"
  | "running"
  | "suspended"
  | "unknown";

/** The shape of each state of a task, and its word. */
export const STATES: Readonly<Record<TaskState, readonly [shape: Shape, word: string]>> = {
  ready: ["ready", "Due"],
  delayed: ["later", "Later"],
  retrying: ["later", "To retry"],
  limited: ["limited", "Limited"],
  dependent: ["later", "After others"],
  suspended: ["suspended", "Suspended"],
  unknown: ["unknown", "Unknown name"],
  unplaced: ["unknown", "Unplaced"],
  running: ["running", "Running"],
  completed: ["completed", "Completed"],
  failed: ["failed", "Failed"],
  cancelled: ["cancelled", "Cancelled"],
};

/** A status: a shape and a word, never a color alone. With `bad`, an action is needed. */
export function status(shape: Shape, word: string, { bad = false }: { bad?: boolean } = {}): Html {
  return markup`<span${classes("s", shape, bad && "bad")}>${word}</span>`;
}

/** The status of a task, with another word if there is a better one, as `in 18 s`. */
export function stateOf(state: TaskState, word?: string): Html {
  const [shape, usual] = STATES[state];
  return status(shape, word ?? usual);
}
