import { readWaits, WAIT_KINDS, type WaitKind, type Waits } from "../../store/waits.ts";
import type { Page, PageContext, Route } from "../context.ts";
import { filterText } from "../filter.ts";
import { type Html, markup, NOTHING } from "../html.ts";
import { formatNumber } from "../parts/numbers.ts";
import { empty, head, panel } from "../parts/panels.ts";
import { type Shape, status } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { age } from "../parts/times.ts";
import { stock } from "./overview_tables.ts";
import { waitFilter } from "../verdict_waits.ts";

/** How many rows the overview has room for. */
const SHORT = 6;

/** The kinds of waits, each as a shape and words. */
const KINDS: Readonly<Record<WaitKind, readonly [shape: Shape, word: string]>> = {
  signal: ["suspended", "Signal"],
  sleep: ["suspended", "Sleep"],
  call: ["suspended", "Call"],
  retry: ["later", "Step retry"],
};

/** What suspended tasks wait for. */
async function show(context: PageContext): Promise<Page> {
  const waits = await readWaits(context.sql);
  const beside = markup`<div class="acts"><a class="button" href="${
    context.href("/tasks", { q: filterText({ status: "suspended" }) })
  }">Suspended tasks</a></div>`;
  const body = markup`${head("Waiting for", { beside })}
${
    panel(
      { id: "waits", title: "By kind and name", note: totalsOf(waits), live: "waits-panel" },
      waits.length === 0 ? empty("No handler waits for a signal, a time or another task.") : waitsTable(context, waits),
    )
  }
<p class="dim small">A suspended task takes no place of a consumer. A task that waits for several things is counted for each.</p>`;
  return { title: "Waiting for", current: "tasks", body };
}

/** `signal 12 · sleep 10,000+`: how many wait for each kind. */
function totalsOf(waits: readonly Waits[]): string {
  return WAIT_KINDS.flatMap((kind) => {
    const own = waits.filter((wait) => wait.kind === kind);
    const sum = own.reduce((sum, { tasks }) => sum + tasks, 0);
    return own.length === 0 ? [] : [`${KINDS[kind][1].toLowerCase()} ${stock(sum, own.some(({ more }) => more))}`];
  }).join(" · ");
}

/** The same in short; nothing where no task is suspended. */
export function waitsPanel(context: PageContext, waits: readonly Waits[]): Html {
  if (waits.length === 0) return NOTHING;
  const left = waits.length - SHORT;
  return panel(
    {
      id: "waits",
      title: markup`<a class="name" href="${context.href("/waits")}">Waiting for</a>`,
      note: "what suspended tasks wait for",
      ...left > 0 ? { footer: markup`<a href="${context.href("/waits")}">${formatNumber(left)} more</a>` } : {},
    },
    waitsTable(context, waits.slice(0, SHORT)),
  );
}

function waitsTable(context: PageContext, waits: readonly Waits[]): Html {
  const rows = waits.map((wait) => {
    const { kind, name, tasks, more, oldest, since } = wait;
    const [shape, word] = KINDS[kind];
    const href = context.href("/tasks", { q: waitFilter(wait) });
    return {
      href,
      cells: [
        status(shape, word),
        markup`<a class="name" href="${href}">${name}</a>`,
        stock(tasks, more),
        markup`<a href="${context.href(`/tasks/${oldest}`)}">#${oldest}</a>`,
        age(since, context.now),
      ],
    };
  });
  const columns = [
    { head: "Kind", class: "fit" },
    { head: "Name", class: "main" },
    { head: "Tasks", class: "num fit" },
    { head: "Oldest", class: "num fit slim" },
    { head: "Since", class: "num fit" },
  ];
  return table({ label: "What suspended tasks wait for", columns, rows, naming: 1 });
}

/** The route of what suspended tasks wait for. */
export const waits: readonly Route[] = [{ method: "GET", path: "/waits", run: show }];
