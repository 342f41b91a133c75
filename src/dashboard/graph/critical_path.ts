import type { DrawnTask } from "../../store/task_graph.ts";
import type { Edge, Graph } from "./graph.ts";

/** The way through a graph that decided when it ended. */
export interface CriticalPath {
  readonly tasks: ReadonlySet<number>;
  readonly edges: ReadonlySet<Edge>;
  /** How many seconds it took, from the first start on it to its end. */
  readonly seconds: number;
}

/**
 * Finds the way through a graph that decided when it ended: back from the task that ended last, each time over the one
 * that its start, or the end of its handler, waited for longest. Undefined while a task may still run, and of one task.
 */
export function findCriticalPath(graph: Graph): CriticalPath | undefined {
  if (!graph.hasEnded || graph.edges.length === 0) return undefined;
  const last = latest([...graph.tasks.values()]);
  if (!last) return undefined;
  const tasks = new Set<number>();
  const edges = new Set<Edge>();
  const todo = [last.id];
  for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
    if (tasks.has(id)) continue;
    tasks.add(id);
    const before = graph.into.get(id)?.filter(({ isCall }) => !isCall) ?? [];
    const called = graph.out.get(id)?.filter(({ isCall }) => isCall) ?? [];
    follow(before, "from");
    follow(called, "to");
  }
  const starts = [...tasks].flatMap((id) => graph.tasks.get(id)!.started?.getTime() ?? []);
  if (edges.size === 0 || starts.length === 0) return undefined;
  return { tasks, edges, seconds: Math.max(0, last.ended!.getTime() - Math.min(...starts)) / 1000 };

  function follow(some: readonly Edge[], end: "from" | "to"): void {
    const next = latest(some.map((edge) => graph.tasks.get(edge[end])!));
    const edge = some.find((edge) => edge[end] === next?.id);
    if (!next || !edge || tasks.has(next.id)) return;
    edges.add(edge);
    todo.push(next.id);
  }
}

/** The task that ended last, of those whose end is known. */
function latest(tasks: readonly DrawnTask[]): DrawnTask | undefined {
  return tasks.reduce<DrawnTask | undefined>(
    (last, task) => task.ended && (!last || task.ended > last.ended!) ? task : last,
    undefined,
  );
}
