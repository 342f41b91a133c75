import type { DrawnTask } from "../../store/task_graph.ts";
import type { TaskState } from "../../task/record.ts";
import type { CriticalPath } from "./critical_path.ts";
import type { Graph } from "./graph.ts";

/** Tasks that are drawn as one box: one, or many of one name and state. */
export interface Group {
  readonly tasks: readonly DrawnTask[];
  readonly funcName: string;
  readonly state: TaskState;
  readonly layer: number;
  readonly isFocus: boolean;
  readonly isCritical: boolean;
}

/** A line between two boxes, for all the lines between their tasks. */
export interface Link {
  readonly from: Group;
  readonly to: Group;
  readonly isCall: boolean;
  readonly isCritical: boolean;
}

/** What is drawn of a graph. */
export interface Grouped {
  readonly groups: readonly Group[];
  readonly links: readonly Link[];
  /** How many tasks are too far away from the chosen one to be drawn. */
  readonly left: number;
}

/** The most boxes and lines of a picture: some 100 kB. */
const [MOST_BOXES, MOST_LINES] = [120, 600];
/** So many tasks that have the same neighbors are drawn one by one. */
const ALIKE = 8;

/** What to make groups of. */
export interface Grouping {
  readonly graph: Graph;
  /** The task whose graph it is: it has a box of its own. */
  readonly focus: number;
  readonly path: CriticalPath | undefined;
}

/**
 * Chooses what is drawn. Many tasks with the same name, state and neighbors are one box. If that leaves too many boxes,
 * those of one name, state and layer are; and if these are too many, those nearest to the chosen task are drawn.
 */
export function groupTasks(grouping: Grouping): Grouped {
  const siblings = group(grouping, { by: (task) => siblingKey(grouping.graph, task), from: ALIKE + 1 });
  if (fits(siblings)) return siblings;
  const { layers } = grouping.graph;
  const layered = group(grouping, {
    by: ({ id, funcName, state }) => JSON.stringify([layers.get(id), funcName, state]),
    from: 2,
  });
  return fits(layered) ? layered : around(layered);
}

function fits({ groups, links }: Grouped): boolean {
  return groups.length <= MOST_BOXES && links.length <= MOST_LINES;
}

function siblingKey({ into, out }: Graph, { id, funcName, state }: DrawnTask): string {
  const before = into.get(id)?.map(({ from, isCall }) => isCall ? -from : from) ?? [];
  const after = out.get(id)?.map(({ to, isCall }) => isCall ? -to : to) ?? [];
  return JSON.stringify([funcName, state, before.sort(), after.sort()]);
}

/** Makes one group of tasks with the same key, if there are at least `from` of them. */
function group(
  { graph, focus, path }: Grouping,
  { by, from }: { by: (task: DrawnTask) => string; from: number },
): Grouped {
  const keys = new Map([...graph.tasks.values()].map((task) => [task.id, task.id === focus ? "" : by(task)]));
  const sizes = new Map<string, number>();
  for (const key of keys.values()) sizes.set(key, (sizes.get(key) ?? 0) + 1);
  const members = Map.groupBy(graph.tasks.values(), ({ id }) => {
    const key = keys.get(id)!;
    return sizes.get(key)! >= from ? key : id;
  });
  const groupOf = new Map<number, Group>();
  const groups = [...members.values()].map((tasks): Group => {
    const [first] = tasks;
    const made: Group = {
      tasks,
      funcName: first!.funcName,
      state: first!.state,
      layer: Math.min(...new Set(tasks.map(({ id }) => graph.layers.get(id)!))),
      isFocus: first!.id === focus,
      isCritical: path !== undefined && tasks.some(({ id }) => path.tasks.has(id)),
    };
    for (const { id } of tasks) groupOf.set(id, made);
    return made;
  });
  const links = new Map<Group, Map<Group, Link>>();
  for (const edge of graph.edges) {
    const [start, end] = [groupOf.get(edge.from)!, groupOf.get(edge.to)!];
    if (start === end) continue;
    const own = links.get(start) ?? new Map<Group, Link>();
    links.set(start, own);
    const before = own.get(end);
    const isCritical = path?.edges.has(edge) ?? false;
    // A task that was called and depended on, too, is drawn as depended on.
    own.set(end, {
      from: start,
      to: end,
      isCall: edge.isCall && (before?.isCall ?? true),
      isCritical: isCritical || (before?.isCritical ?? false),
    });
  }
  return { groups, links: [...links.values()].flatMap((own) => [...own.values()]), left: 0 };
}

/** Leaves the groups that are nearest to the chosen task. */
function around({ groups, links }: Grouped): Grouped {
  const beside = new Map(groups.map((each) => [each, [] as Group[]]));
  for (const { from, to } of links) {
    beside.get(from)!.push(to);
    beside.get(to)!.push(from);
  }
  const near = new Set(groups.filter(({ isFocus }) => isFocus));
  for (const each of near) {
    for (const next of beside.get(each)!) if (near.size < MOST_BOXES) near.add(next);
  }
  const shown = [...near];
  const kept = links.filter(({ from, to }) => near.has(from) && near.has(to)).slice(0, MOST_LINES);
  const left = groups.reduce((sum, each) => sum + (near.has(each) ? 0 : each.tasks.length), 0);
  return { groups: shown, links: kept, left };
}
