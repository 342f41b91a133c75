import { parseCron } from "../task/cron_expression.ts";
import { FireflyError } from "../errors.ts";
import { type CronRow, deleteOrphanedCron, listCrons, pauseCron, resumeCron, runCron } from "../store/cron.ts";
import type { Tag } from "../database/driver.ts";
import { didYouMean } from "../suggest.ts";
import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { type Cell, renderTable } from "./table.ts";
import type { Style, Terminal } from "./terminal.ts";
import { formatAge } from "./times.ts";

type Action = (name: string, context: { sql: Tag; found: CronRow; terminal: Terminal }) => Promise<void>;

const ACTIONS: Readonly<Record<string, Action>> = { pause, resume, run, delete: remove };
const STATES: Readonly<Record<CronRow["state"], Style>> = { active: "green", paused: "yellow", orphaned: "red" };

/** `cron`: the tasks that are scheduled by the clock. */
export const cron: Command = {
  name: "cron",
  usage: "list|pause|resume|run|delete [name]",
  positionals: [1, 2],
  summary: "List the tasks with a cron; pause, resume or run one now",
  details:
    "list shows what consumers have registered: the definition of the one that started last. orphaned are those whose " +
    "task no live consumer knows, or whose cron was removed from the code; delete forgets one of these.\n\n" +
    "A paused cron misses its slots for good. run schedules the task once, now, beside its slots, and prints its id.",
  flags: {},
  examples: ["cron list", "cron pause reports.nightly", "cron run reports.nightly"],
  async run(args, terminal) {
    const [action, name] = args.positionals as [string, string | undefined];
    checkAction(action, name);
    return await withInstance({ args, terminal, tasks: false }, async (ff) => {
      const { records } = (await ff.connect()).database;
      if (name === undefined) return await list(records, terminal);
      const [found] = await listCrons(records, name);
      if (found) {
        await ACTIONS[action]!(name, { sql: records, found, terminal });
        return EXIT.done;
      }
      const names = (await listCrons(records)).map(({ name }) => name);
      terminal.printError(`There is no cron "${name}"${didYouMean(name, names)}`);
      return EXIT.noSuchTask;
    });
  },
};

function checkAction(action: string, name: string | undefined): void {
  const actions = ["list", ...Object.keys(ACTIONS)];
  if (!actions.includes(action)) {
    const hint = didYouMean(action, actions) || `: there are ${actions.join(", ")}`;
    throw usageError("cron", `there is no "cron ${action}"${hint}`);
  }
  if (action === "list" && name !== undefined) throw usageError("cron", `"cron list" takes no name`);
  if (action !== "list" && name === undefined) throw usageError("cron", `"cron ${action}" needs the name of a task`);
}

async function list(sql: Tag, terminal: Terminal): Promise<number> {
  const crons = await listCrons(sql);
  if (terminal.json) {
    for (const cron of crons) await terminal.printJson(toData(cron));
  } else if (crons.length === 0) {
    terminal.note("There are no crons: a consumer registers those of its tasks when it starts");
  } else {
    const header = ["name", "cron", "timezone", "queue", "state", "next", "last", "status"];
    for (const line of renderTable(terminal, { header, rows: crons.map(rowOf) })) await terminal.print(line);
  }
  return EXIT.done;
}

function toData(cron: CronRow): Record<string, unknown> {
  const { lastSlot, lastTaskId, lastStatus, at: _, ...shown } = cron;
  return {
    ...shown,
    next_slot: nextSlotOf(cron),
    last_slot: lastSlot,
    last_task_id: lastTaskId,
    last_status: lastStatus,
  };
}

function rowOf(cron: CronRow): Cell[] {
  const { name, expression, timezone, queue, state, lastSlot, lastTaskId, lastStatus, at } = cron;
  const next = nextSlotOf(cron);
  return [
    name,
    expression,
    timezone,
    queue,
    { text: state, style: STATES[state] },
    next ? `${next.toISOString().slice(0, 19)}Z, ${formatAge(next, at.getTime())}` : "",
    lastSlot ? formatAge(lastSlot, at.getTime()) : "",
    lastTaskId === null ? "" : `${lastTaskId} ${lastStatus ?? "deleted"}`,
  ];
}

/** By the database's clock; none where none will fire, or where this machine does not know the time zone. */
function nextSlotOf({ expression, timezone, state, at }: CronRow): Date | null {
  if (state !== "active") return null;
  try {
    return parseCron(expression, timezone, "list crons").next(at);
  } catch {
    return null;
  }
}

async function pause(...[name, { sql, terminal }]: Parameters<Action>): Promise<void> {
  const done = await pauseCron(sql, name);
  if (terminal.json) await terminal.printJson({ name, paused: true, changed: done });
  else await terminal.print(done ? `Paused ${name}` : `${name} was paused already`);
}

async function resume(...[name, { sql, terminal }]: Parameters<Action>): Promise<void> {
  const done = await resumeCron(sql, name);
  if (terminal.json) await terminal.printJson({ name, paused: false, changed: done });
  else await terminal.print(done ? `Resumed ${name}` : `${name} was not paused`);
}

async function run(...[name, { sql, found, terminal }]: Parameters<Action>): Promise<void> {
  const id = await runCron(sql, name);
  if (terminal.json) await terminal.printJson({ id });
  else await terminal.print(`Scheduled ${name} as task ${id}`);
  if (found.state === "orphaned") terminal.note("No consumer that lives now may know this task");
}

async function remove(...[name, { sql, found, terminal }]: Parameters<Action>): Promise<void> {
  if (!await deleteOrphanedCron(sql, name)) {
    throw new FireflyError(`Cannot delete cron "${name}" as it is not orphaned: it is ${found.state}`);
  }
  if (terminal.json) await terminal.printJson({ name, deleted: true });
  else await terminal.print(`Deleted ${name}`);
}
