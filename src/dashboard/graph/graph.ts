import type { DrawnTask } from "../../store/task_graph.ts";
import type { TaskState } from "../../task/record.ts";

/** A line from a task to one that comes after it: a dependant, or a task that its handler called. */
export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly isCall: boolean;
}

/** The states of tasks that have ended. */
const ENDED: readonly TaskState[] = ["completed", "failed", "cancelled"];

/** Whether a task has ended. */
export function hasEnded({ state }: Pick<DrawnTask, "state">): boolean {
  return ENDED.includes(state);
}

/** Tasks that hang together, and the lines between them. */
export class Graph {
  readonly tasks: ReadonlyMap<number, DrawnTask>;
  readonly edges: readonly Edge[];
  /** The lines that lead to a task, and those that lead on from it. */
  readonly into: ReadonlyMap<number, readonly Edge[]>;
  readonly out: ReadonlyMap<number, readonly Edge[]>;
  /** How many tasks come before one, on the longest way. */
  readonly layers: ReadonlyMap<number, number>;

  constructor(tasks: readonly DrawnTask[]) {
    this.tasks = new Map(tasks.map((task) => [task.id, task]));
    this.edges = tasks.flatMap(({ id, dependencies, calledBy }): Edge[] => [
      ...dependencies.map((from) => ({ from, to: id, isCall: false })),
      ...calledBy === null ? [] : [{ from: calledBy, to: id, isCall: true }],
    ]).filter(({ from }) => this.tasks.has(from));
    this.into = Map.groupBy(this.edges, ({ to }) => to);
    this.out = Map.groupBy(this.edges, ({ from }) => from);
    this.layers = this.#findLayers();
  }

  /** Whether no task of it can go on. */
  get hasEnded(): boolean {
    return this.tasks.values().every(hasEnded);
  }

  /** How many of the tasks that one depends on have ended, of all; a deleted one has. */
  progressOf({ dependencies }: DrawnTask): { ended: number; of: number } {
    const open = dependencies.filter((id) => {
      const task = this.tasks.get(id);
      return task && !hasEnded(task);
    });
    return { ended: dependencies.length - open.length, of: dependencies.length };
  }

  /** Tasks are taken once all before them are. Edits by hand can make a circle: its tasks come last. */
  #findLayers(): Map<number, number> {
    const open = new Map([...this.tasks.keys()].map((id) => [id, this.into.get(id)?.length ?? 0]));
    const layers = new Map<number, number>();
    const todo = [...open].filter(([, count]) => count === 0).map(([id]) => id);
    for (const id of todo) layers.set(id, 0);
    for (let at = 0; at < todo.length; at++) {
      const next = layers.get(todo[at]!)! + 1;
      for (const { to } of this.out.get(todo[at]!) ?? []) {
        layers.set(to, Math.max(layers.get(to) ?? 0, next));
        const left = open.get(to)! - 1;
        open.set(to, left);
        if (left === 0) todo.push(to);
      }
    }
    const last = Math.max(0, ...new Set(layers.values()));
    for (const [id, count] of open) if (count > 0) layers.set(id, last + 1);
    return layers;
  }
}
