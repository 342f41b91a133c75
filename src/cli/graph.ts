import { readMermaid } from "../store/dependencies.ts";
import type { GraphNode } from "../task/step_record.ts";
import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { escapeLine } from "./escape.ts";
import { EXIT } from "./exit_code.ts";
import { countTasks } from "./filter.ts";
import { STATE_STYLES } from "./record_page.ts";
import { withInstance } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** How many tasks of a graph are read. */
const MOST = 10_000;

/** `graph`: shows the tasks that hang together with one. */
export const graph: Command = {
  name: "graph",
  usage: "<id>",
  positionals: [1, 1],
  summary: "Show the tasks that a task depends on or calls, and those that depend on it",
  details:
    "It shows all tasks that hang together by their dependencies and calls, up to 10,000: below each task stand those " +
    "that it depends on, and those that its handler has called. A task on which several depend stands below each, with " +
    "those that it depends on below the first.\n\n" +
    "JSON has a line for each task, in the order of their ids.",
  flags: { mermaid: { description: "Print a flowchart for Mermaid, which Markdown of many sites draws" } },
  examples: ["graph 12", "graph 12 --mermaid >> issue.md", "graph 12 --json | jq 'select(.status == \"failed\").id'"],
  async run(args, terminal) {
    const [id, ...more] = args.ids();
    if (id === undefined || more.length > 0) throw usageError("graph", "it takes exactly one id");
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
      const nodes = await ff.tasks.graph(id);
      if (args.isOn("mermaid")) {
        const { database: { records: sql } } = await ff.connect();
        await terminal.print(await readMermaid(sql, id));
      } else if (terminal.json) {
        for (const { funcName, ...node } of nodes) {
          await terminal.printJson({
            id: node.id,
            func_name: funcName,
            status: node.status,
            dependencies: node.dependencies,
            called_by: node.calledBy,
          });
        }
      } else await terminal.print(renderGraph(nodes, { chosen: id, terminal }).join("\n"));
      if (nodes.length === MOST) terminal.note(`These are the first ${countTasks(MOST)} that were found`);
      return EXIT.done;
    });
  },
};

/** Renders a graph as trees: each begins with a task on which none depends and that none called; `chosen` is marked. */
export function renderGraph(
  nodes: readonly GraphNode[],
  { chosen, terminal }: { chosen: number; terminal: Pick<Terminal, "style"> },
): string[] {
  const known = new Map(nodes.map((node) => [node.id, node]));
  const needed = new Set(nodes.flatMap(({ dependencies }) => dependencies));
  const called = Map.groupBy(nodes.filter(({ calledBy }) => calledBy !== null), ({ calledBy }) => calledBy!);
  const shown = new Set<number>();
  const lines: string[] = [];
  /** The tasks still to be shown, the next one last: recursion would overflow on a long chain. */
  const todo = nodes
    .filter(({ id, calledBy }) => !needed.has(id) && !(calledBy !== null && known.has(calledBy)))
    .map(({ id }) => ({ id, lead: "", indent: "", isCalled: false }))
    .reverse();
  for (let next = todo.pop(); next; next = todo.pop()) {
    const { id, lead, indent, isCalled } = next;
    const node = known.get(id);
    const isShown = shown.has(id);
    shown.add(id);
    lines.push(lead + renderNode(id, { node, isShown, isCalled, isChosen: id === chosen }, terminal));
    const callees = (called.get(id) ?? []).map(({ id }) => id);
    const below = isShown || !node ? [] : [...new Set([...node.dependencies, ...callees])];
    const parts = below.map((id, i) => {
      const isLast = i === below.length - 1;
      const isCalled = callees.includes(id);
      return { id, isCalled, lead: `${indent}${isLast ? "└─ " : "├─ "}`, indent: `${indent}${isLast ? "   " : "│  "}` };
    });
    todo.push(...parts.reverse());
  }
  return lines;
}

function renderNode(
  id: number,
  { node, isShown, isCalled, isChosen }: {
    node: GraphNode | undefined;
    isShown: boolean;
    isCalled: boolean;
    isChosen: boolean;
  },
  { style }: Pick<Terminal, "style">,
): string {
  if (!node) return `#${id}  ${style("dim", "deleted")}`;
  const name = `${escapeLine(node.funcName)} #${id}`;
  const above = isShown && node.dependencies.length > 0 ? style("dim", "  (shown above)") : "";
  const call = isCalled ? style("dim", "  (called)") : "";
  return `${isChosen ? style("bold", name) : name}  ${style(STATE_STYLES[node.status], node.status)}${call}${above}`;
}
