import { parseCron } from "../task/cron_expression.ts";
import { FireflyError } from "../errors.ts";
import { type CronRow, deleteOrphanedCron, listCrons, pauseCron, resumeCron, runCron } from "../store/cron.ts";
import type { Tag } from "../database/driver.ts";
import { didYouMean } from "../suggest.ts";
import { usageError } from "./arguments.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./exit_code.ts";
import { withInstance } from "./settings.ts";
import { type Cell, printTable } from "./table.ts";
import type { Style, Terminal } from "./terminal.ts";
import { formatAge } from "../times.ts";

type Action = (name: string, context: { sql: Tag; found: CronRow; terminal: Terminal }) => Promise<void>;

const ACTIONS: Readonly<Record<string, Action>> = { pause, resume, run, delete: remove };
const STATES: Readonly<Record<CronRow["state"], Style>> = { active: "green", paused: "yellow", orphaned: "red" };

/** `cron`: inspects and controls crons. */
export const cron: Command = {
  name: "cron",
  usage: "list|pause|resume|run|delete [name]",
  positionals: [0, 2],
  summary: "List crons; pause, resume, run or delete one",
  details:
    "list, the default, shows the crons that consumers have registered, as defined by the consumer that started last. A cron is " +
    "orphaned if no live consumer knows its task, or if it was removed from the code; only orphaned crons can be " +
    "deleted.\n\n" +
    "A paused cron skips its slots for good. run schedules the task once, now, in addition to its slots, and prints " +
    "the new task's id.",
  flags: {},
  examples: ["cron list", "cron pause reports.nightly", "cron run reports.nightly"],
  async run(args, terminal) {
    const [action = "list", name] = args.positionals;
    checkAction(action, name);
    return await withInstance({ args, terminal, tasks: "none" }, async (ff) => {
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
    const hint = didYouMean(action, actions) || `: it must be one of ${actions.join(", ")}`;
    throw usageError("cron", `there is no "cron ${action}"${hint}`);
  }
  if (action === "list" && name !== undefined) throw usageError("cron", `"cron list" takes no name`);
  if (action !== "list" && name === undefined) throw usageError("cron", `"cron ${action}" needs a task's name`);
}

async function list(sql: Tag, terminal: Terminal): Promise<number> {
  const crons = await listCrons(sql);
  if (terminal.json) {
    for (const cron of crons) await terminal.printJson(toData(cron));
  } else if (crons.length === 0) {
    terminal.note("There are no crons yet: consumers register those of their tasks when they start");
  } else {
    const header = ["name", "cron", "timezone", "queue", "state", "next", "last", "status"];
    await printTable(terminal, { header, rows: crons.map(rowOf), optional: [2, 3, 7] });
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
    next ? `${formatAge(next, at.getTime())}, at ${next.toISOString().slice(0, 19)}Z` : "",
    lastSlot ? formatAge(lastSlot, at.getTime()) : "",
    lastTaskId === null ? "" : `${lastTaskId} ${lastStatus ?? "deleted"}`,
  ];
}

/** The next slot by the database's clock; null if none will fire, or if this machine does not know the time zone. */
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
  else await terminal.print(done ? `Paused ${name}` : `${name} was already paused`);
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
  if (found.state === "orphaned") terminal.note("It may wait: no live consumer knows this task");
}

async function remove(...[name, { sql, found, terminal }]: Parameters<Action>): Promise<void> {
  if (!await deleteOrphanedCron(sql, name)) {
    throw new FireflyError(`Cannot delete cron "${name}" as it is not orphaned: it is ${found.state}`);
  }
  if (terminal.json) await terminal.printJson({ name, deleted: true });
  else await terminal.print(`Deleted ${name}`);
}
