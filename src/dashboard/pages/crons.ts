import { FireflyError } from "../../errors.ts";
import { deleteOrphanedCron, pauseCron, resumeCron, runCron } from "../../store/cron.ts";
import { type CronRun, type CronState, readCronRuns, readCronStates } from "../../store/cron_history.ts";
import { readCronStatesAsViewer } from "../../store/overview_viewer.ts";
import { formatAge, formatSeconds } from "../../times.ts";
import { type Page, type PageContext, type Route, seeOther } from "../context.ts";
import { slotsOf } from "../cron_slots.ts";
import { filterText } from "../filter.ts";
import { type Html, markup, type Part } from "../html.ts";
import { barPath, path, svg } from "../parts/charts.ts";
import { action, hidden, linkButton } from "../parts/forms.ts";
import { amount } from "../parts/numbers.ts";
import { empty, head, panel } from "../parts/panels.ts";
import { type Shape, status } from "../parts/status.ts";
import { table } from "../parts/tables.ts";
import { age, formatClock, formatUtc } from "../parts/times.ts";
import { maySeeRecords } from "./tasks_overview.ts";
import { describeCron } from "./crons_words.ts";
import { lanesPanel } from "./crons_lanes.ts";

/** How many runs of a cron its history shows. */
const RUNS = 30;
/** How many slots of a cron are read, for the lanes; and for how many crons. */
const SLOTS = { each: 100, crons: 50 };
const HEIGHT = 22;
const DAY = 86_400_000;

/** All crons. */
async function show(context: PageContext): Promise<Page> {
  const { sql, now } = context;
  const mayReadRecords = await maySeeRecords(context);
  const crons = mayReadRecords ? await readCronStates(sql) : await readCronStatesAsViewer(sql);
  const slots = crons.length > SLOTS.crons ? RUNS : SLOTS.each;
  const names = mayReadRecords ? crons.map(({ name }) => name) : []; // the role viewer reads no slots
  const runs = names.length > 0 ? await readCronRuns(sql, { names, slots }) : [];
  const beside = markup`<p class="dim small">${amount(crons.length, "cron")} · by the clock of the database, ${
    formatClock(now)
  } UTC</p>`;
  const body = markup`${head("Crons", { beside })}
${cronsPanel(context, crons, runs)}
${lanesPanel(context, crons, runs)}`;
  return { title: "Crons", current: "crons", body };
}

function cronsPanel(context: PageContext, crons: readonly CronState[], runs: readonly CronRun[]): Html {
  if (crons.length === 0) {
    return panel(
      { label: "Crons" },
      empty("There are no crons yet: consumers register those of their tasks when they start"),
    );
  }
  const columns = [
    "Task",
    { head: "Schedule", class: "opt" },
    { head: "State", class: "opt" },
    { head: `Last ${RUNS} runs`, class: "mid fit" },
    "Last",
    { head: "Took", class: "num mid" },
    "Next",
    { head: markup`<span class="skip">Actions</span>`, class: "num fit opt" },
  ];
  const rows = crons.map((cron) => ({
    id: `cron-${encodeURIComponent(cron.name)}`,
    href: context.href("/tasks", { q: filterText({ name: cron.name }) }),
    cells: cronRow(context, cron, runs.filter(({ name }) => name === cron.name).slice(-RUNS)),
  }));
  const footer =
    markup`<span class="key"><span><i class="c-plot"></i>completed, its height is how long it took</span><span><i class="c-bad"></i>failed</span><span><i class="c-idle"></i>without a result</span></span>`;
  return panel({ label: "Crons", footer }, table({ label: "Crons", columns, rows, live: "rows" }));
}

function cronRow(context: PageContext, cron: CronState, runs: readonly CronRun[]): Part[] {
  const { name, expression, timezone, seconds } = cron;
  const words = describeCron(expression) ?? expression;
  return [
    markup`<a class="name" href="${context.href("/tasks", { q: filterText({ name }) })}">${name}</a>
<div class="phone small dim">${words}${buttons(context, cron)}</div>`,
    markup`${words}<span class="line"><code>${expression}</code> ${timezone}</span>`,
    stateOf(cron),
    history(name, runs),
    last(context, cron),
    seconds === null ? markup`<span class="dim">–</span>` : formatSeconds(Math.max(0, seconds)),
    next(context, cron),
    buttons(context, cron),
  ];
}

function stateOf({ state, removed }: CronState): Html {
  if (state === "active") return status("active", "Active");
  if (state === "paused") return status("paused", "Paused");
  return status("unknown", removed ? "Removed" : "Orphaned", { bad: !removed });
}

/** A bar for each run: as high as it took long, or red. */
function history(name: string, runs: readonly CronRun[]): Part {
  if (runs.length === 0) return markup`<span class="dim">–</span>`;
  const blank = new Array<number>(RUNS - runs.length).fill(0); // so that a few bars are no wider than many
  const times = runs.map(({ status, seconds }) => status === "completed" ? Math.max(seconds ?? 0, 1e-6) : 0);
  const most = Math.max(...times);
  const failed = runs.map(({ status }) => status === "failed" ? 1 : 0);
  const other = runs.map(({ status }) => status === "completed" || status === "failed" ? 0 : 1);
  const count = (values: readonly number[]) => values.filter((value) => value > 0).length;
  return svg(
    [RUNS, HEIGHT],
    [
      path(
        "c-plot",
        barPath([...blank, ...times.map((time) => time && Math.max(time, most * 0.1))], most, HEIGHT),
      ),
      path("c-bad", barPath([...blank, ...failed], 1, HEIGHT)),
      path("c-idle", barPath([...blank, ...other], 10, HEIGHT)),
    ],
    `Last ${amount(runs.length, "run")} of ${name}: ${count(failed)} failed, ${count(other)} without a result`,
    "spark",
  );
}

const WORDS: Readonly<Record<string, readonly [Shape, string]>> = {
  created: ["ready", "Waits"],
  running: ["running", "Running"],
  completed: ["completed", "Completed"],
  failed: ["failed", "Failed"],
  cancelled: ["cancelled", "Cancelled"],
};

function last(context: PageContext, { lastSlot, lastTaskId, lastStatus, lastEnded }: CronState): Part {
  if (lastSlot === null) return markup`<span class="dim">none yet</span>`;
  const when = age(lastEnded ?? lastSlot, context.now);
  if (lastStatus === null) return when;
  const [shape, word] = WORDS[lastStatus]!;
  return markup`${status(shape, word)} ${
    lastTaskId === null ? when : markup`<a href="${context.href(`/tasks/${lastTaskId}`)}">${when}</a>`
  }`;
}

function next({ now }: PageContext, cron: CronState): Part {
  if (cron.state === "paused") return "paused";
  if (cron.state === "orphaned") return cron.removed ? "never" : "no live consumer";
  const slots = slotsOf(cron);
  if (!slots) return markup`<span class="dim">unknown time zone</span>`;
  const slot = slots.next(now);
  if (!slot) return "never";
  const far = slot.getTime() - now.getTime() > DAY;
  const time = far ? formatUtc(slot) : `${formatClock(slot)} UTC`;
  return markup`${formatAge(slot, now.getTime())}<span class="line slim">${time.replace(/:00 UTC$/, " UTC")}</span>`;
}

function buttons(context: PageContext, { name, state }: CronState): Html {
  if (state === "orphaned") {
    const href = context.href("/crons/delete", { name });
    const label = markup`Delete…<span class="skip"> ${name}</span>`;
    return markup`<div class="acts">${linkButton(context, label, { href, asks: true, class: "danger" })}</div>`;
  }
  const fields = { name };
  const pause = state === "paused"
    ? action(context, "Resume", { path: "/crons/resume", fields, of: name })
    : action(context, "Pause", { path: "/crons/pause", fields, of: name });
  return markup`<div class="acts">${
    action(context, "Run now", { path: "/crons/run", fields, of: name })
  }${pause}</div>`;
}

/** Asks before a cron is deleted: its history goes with it. */
async function ask(context: PageContext): Promise<Page> {
  const name = context.url.searchParams.get("name") ?? "";
  const read = await maySeeRecords(context) ? readCronStates : readCronStatesAsViewer;
  const cron = (await read(context.sql)).find((cron) => cron.name === name);
  if (cron?.state !== "orphaned") return gone(context, name, cron);
  const why = cron.removed ? "It was removed from the code." : "No live consumer defines it now.";
  const form = markup`<form class="in" method="post" action="${context.href("/crons/delete")}">${hidden({ name })}
<h1 id="ask">Delete the cron of ${name}?</h1>
<p>${why} Its slots are forgotten; the tasks that it scheduled stay. A consumer that defines it makes it anew.</p>
<div class="acts"><a class="button" href="${context.href("/crons")}" data-back>Keep it</a>
<button type="submit" class="danger primary">Delete</button></div></form>`;
  const body = markup`<div class="lone"><section class="panel" aria-labelledby="ask">${form}</section></div>`;
  return { title: `Delete the cron of ${name}?`, current: "crons", body };
}

function gone(context: PageContext, name: string, cron: CronState | undefined): Page {
  const words = cron ? `A consumer defines it: it is ${cron.state}.` : "There is no such cron, or no more.";
  const body =
    markup`<div class="lone"><section class="panel" aria-labelledby="ask"><div class="in"><h1 id="ask">${name} cannot be deleted</h1>
<p>${words}</p><p class="acts"><a class="button" href="${
      context.href("/crons")
    }">Back to the crons</a></p></div></section></div>`;
  return { title: "It cannot be deleted", current: "crons", body, status: cron ? 409 : 404 };
}

/** Makes a route that does something to the cron of the form. */
function change(
  path: string,
  act: (sql: Parameters<typeof runCron>[0], name: string) => Promise<unknown>,
): Route {
  return {
    method: "POST",
    path,
    async run(context) {
      const { database: { records } } = await context.firefly.connect();
      await act(records, context.form.get("name") ?? "");
      return seeOther(context.href("/crons"));
    },
  };
}

/** Schedules the task of a cron now, and leads to it. */
async function run(context: PageContext): Promise<Response> {
  const { database: { records } } = await context.firefly.connect();
  const id = await runCron(records, context.form.get("name") ?? "");
  return seeOther(context.href(`/tasks/${id}`));
}

async function remove(sql: Parameters<typeof runCron>[0], name: string): Promise<void> {
  if (await deleteOrphanedCron(sql, name)) return;
  throw new FireflyError(`Cannot delete cron "${name}" as it is not orphaned, or not there any more`);
}

/** The routes of the crons. */
export const crons: readonly Route[] = [
  { method: "GET", path: "/crons", run: show },
  { method: "GET", path: "/crons/delete", run: ask },
  { method: "POST", path: "/crons/run", run },
  change("/crons/pause", pauseCron),
  change("/crons/resume", resumeCron),
  change("/crons/delete", remove),
];
