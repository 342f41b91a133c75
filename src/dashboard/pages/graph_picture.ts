import { formatSeconds } from "../../times.ts";
import type { DrawnTask } from "../../store/task_graph.ts";
import type { PageContext } from "../context.ts";
import { type Graph, hasEnded } from "../graph/graph.ts";
import type { Group, Grouped, Link } from "../graph/groups.ts";
import { BOX, type PlacedBox, type PlacedLine, placeGroups } from "../graph/places.ts";
import { classes, type Html, markup } from "../html.ts";
import { round } from "../parts/charts.ts";
import { formatNumber } from "../parts/numbers.ts";
import { type Shape, STATES } from "../parts/status.ts";

/** How many letters of a name have room in a box. */
const LETTERS = 25;

/** The shapes of statuses, as the style sheet draws them before words: each 10 units wide and high. */
const SHAPES: Readonly<Record<Shape, string>> = {
  active: "M0 5a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
  blocked: "M0 0h10v10h-10zM2 2v6h6v-6z",
  cancelled: "M0 3.6h10v2.8h-10z",
  completed: "M0 5a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
  failed: "M2 0l3 3l3-3l2 2l-3 3l3 3l-2 2l-3-3l-3 3l-2-2l3-3l-3-3z",
  later: "M5 0l5 5l-5 5l-5-5z",
  limited: "M0 0h10v3.5h-3.5v3h3.5v3.5h-10z",
  paused: "M0 0h3.5v10h-3.5zM6.5 0h3.5v10h-3.5z",
  ready: "M0 5a5 5 0 1 0 10 0a5 5 0 1 0-10 0zM2 5a3 3 0 1 1 6 0a3 3 0 1 1-6 0z",
  running: "M1.2 0l8.8 5l-8.8 5z",
  suspended: "M0 0h10l-4 5l4 5h-10l4-5z",
  unknown: "M5 0l5 10h-10z",
};

/** What a picture is of, beside what is drawn. */
export interface Pictured {
  readonly graph: Graph;
  readonly grouped: Grouped;
  /** The address of the list of the tasks of a box that stands for many. */
  listOf(group: Group): string;
}

/** Draws a graph: boxes that are links, and lines from each to what comes after it. */
export function graphPicture(context: PageContext, { graph, grouped, listOf }: Pictured): Html {
  const { width, height, boxes, lines } = placeGroups(grouped);
  // Lines of the critical path are drawn last, so that no other crosses them.
  const ordered = [...lines].sort((a, b) => Number(a.link.isCritical) - Number(b.link.isCritical));
  return markup`<svg viewBox="0 0 ${width} ${round(height)}" width="${width}" height="${
    round(height)
  }" role="group" aria-label="Graph">${ordered.map(lineOf)}${
    boxes.map((box) => boxOf(box, { ...wordsOf(context, graph, box.group), href: hrefOf(context, box.group, listOf) }))
  }</svg>`;
}

function hrefOf(context: PageContext, group: Group, listOf: Pictured["listOf"]): string {
  return group.tasks.length > 1 ? listOf(group) : context.href(`/tasks/${group.tasks[0]!.id}/graph`);
}

function lineOf({ link, points }: PlacedLine): Html {
  const path = points.map(([x, y], index) => {
    const before = points[index - 1];
    if (!before) return `M${round(x)} ${round(y)}`;
    // The arrow has the last units.
    const end = index === points.length - 1 ? x - 6 : x;
    if (before[1] === y) return `H${round(end)}`;
    const middle = (before[0] + end) / 2;
    return `C${round(middle)} ${round(before[1])} ${round(middle)} ${round(y)} ${round(end)} ${round(y)}`;
  }).join("");
  const [x, y] = points.at(-1)!;
  const kind = kindOf(link);
  return markup`<path${classes("edge", kind)} d="${path}"/><path${classes("tip", kind)} d="M${round(x)} ${
    round(y)
  }l-8-4v8z"/>`;
}

function kindOf({ isCall, isCritical }: Link): string {
  return [isCall && "call", isCritical && "critical"].filter(Boolean).join(" ");
}

function boxOf({ group, x, y }: PlacedBox, { name, note, label, href }: Words & { href: string }): Html {
  const [shape] = STATES[group.state];
  const stack = group.tasks.length > 1 &&
    markup`<rect class="box" x="4" y="4" width="${BOX.width - 1}" height="${BOX.height - 1}" rx="6"/>`;
  return markup`<a${
    classes("node", shape, group.isFocus && "focus", group.isCritical && "critical")
  } href="${href}"><title>${label}</title><g transform="translate(${x} ${
    round(y)
  })">${stack}<rect class="box" width="${BOX.width}" height="${BOX.height}" rx="6"/><path class="shape" fill-rule="evenodd" transform="translate(11 12)" d="${
    SHAPES[shape]
  }"/><text class="name" x="29" y="21">${name}</text><text class="note" x="29" y="39">${note}</text></g></a>\n`;
}

/** The words of a box, and all of it as a sentence. */
interface Words {
  readonly name: string;
  readonly note: string;
  readonly label: string;
}

function wordsOf({ now }: PageContext, graph: Graph, group: Group): Words {
  const { tasks: [task], funcName, state, isFocus, isCritical } = group;
  const [, word] = STATES[state];
  const name = cut(funcName);
  const critical = isCritical ? ", on the critical path" : "";
  if (group.tasks.length > 1) {
    const count = formatNumber(group.tasks.length);
    return {
      name,
      note: `×${count} ${word.toLowerCase()}`,
      label: `${count} tasks ${funcName}, ${word.toLowerCase()}${critical}: list them`,
    };
  }
  const progress = progressNote(graph, task!);
  const took = tookOf(task!, now);
  const note = progress ?? [word, took !== undefined && formatSeconds(took)].filter(Boolean).join(" · ");
  const here = isFocus ? ", this task" : "";
  return {
    name,
    note: `#${task!.id} · ${note}`,
    label: `${funcName} #${task!.id}${here}: ${note.toLowerCase()}${critical}`,
  };
}

/** `Waits, 4 of 5`: how many of those that a task waits for have ended. */
export function progressNote(graph: Graph, task: DrawnTask): string | undefined {
  if (hasEnded(task) || task.state === "running" || task.dependencies.length === 0) return undefined;
  const { ended, of } = graph.progressOf(task);
  return ended === of ? undefined : `Waits, ${formatNumber(ended)} of ${formatNumber(of)}`;
}

/** For how many seconds the last attempt of a task ran, or runs. */
export function tookOf({ started, ended, state }: DrawnTask, now: Date): number | undefined {
  const end = ended ?? (state === "running" ? now : null);
  return started === null || end === null ? undefined : Math.max(0, end.getTime() - started.getTime()) / 1000;
}

/** Cuts a name to its box. Letters of East Asia are twice as wide. */
function cut(name: string): string {
  let [shown, width] = ["", 0];
  for (const letter of name) {
    width += letter.codePointAt(0)! >= 0x1100 ? 2 : 1;
    if (width > LETTERS) return `${shown}…`;
    shown += letter;
  }
  return name;
}
