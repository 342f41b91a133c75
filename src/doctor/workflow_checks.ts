import { quoteIdentifier } from "../database/identifiers.ts";
import {
  countOrphans,
  findChangedSteps,
  findLongWaits,
  findManySteps,
  findStuckWaits,
} from "../store/health_workflows.ts";
import { type Check, counted, found, listed, ok } from "./check.ts";

/** For how many days a task may wait for a signal. */
const LONG_WAIT = 30;
/** How many keys a name of a task's steps may have: each attempt reads the results of all. */
const MOST_KEYS = 1000;

const waits: Check = {
  name: "suspended tasks",
  after: ["schema"],
  async ask(target) {
    const stuck = await target.read(findStuckWaits);
    if (stuck.length === 0) return ok("none should have gone on");
    return found(
      "warning",
      `${counted(stuck.length, "task")} should have gone on, and may wait forever, as after an edit by hand: ${
        listed(stuck.map(({ id }) => String(id)))
      }`,
      ...stuck.slice(0, 5).map(({ id, priority }) => `Let it go on: firefly reschedule ${id} --priority ${priority}`),
    );
  },
};

const signals: Check = {
  name: "awaited signals",
  after: ["schema"],
  async ask(target) {
    const long = await target.read((sql) => findLongWaits(sql, LONG_WAIT));
    if (long.length === 0) return ok(`none is waited for longer than ${LONG_WAIT} days`);
    const named = long.map(({ id, funcName, signal, seconds }) =>
      `task ${id} "${funcName}" for "${signal}" for ${counted(Math.floor(seconds / 86_400), "day")}`
    );
    return found(
      "warning",
      `${counted(long.length, "task")} waited for a signal for more than ${LONG_WAIT} days: ${listed(named, 3)}`,
      ...long.slice(0, 3).map(({ id, signal }) =>
        `Send it: firefly signal ${id} ${signal}; or end it: firefly cancel ${id}`
      ),
    );
  },
};

const orphans: Check = {
  name: "orphaned steps",
  after: ["schema"],
  async ask(target) {
    const { steps, signals } = await target.read(countOrphans);
    if (steps + signals === 0) return ok("all steps and signals have a record");
    const tables = [...(steps > 0 ? ["step"] : []), ...(signals > 0 ? ["signal"] : [])];
    const schema = quoteIdentifier(target.options.schema);
    return found(
      "warning",
      [
        ...(steps > 0 ? [`${counted(steps, "task")} without a record with steps`] : []),
        ...(signals > 0 ? [`${counted(signals, "task")} without a record with signals`] : []),
      ].join(", ") + ": the records were deleted without triggers",
      ...tables.map((table) =>
        `Delete them: DELETE FROM ${schema}.${table} WHERE NOT EXISTS ` +
        `(SELECT FROM ${schema}.task WHERE task.id = ${table}.task_id)`
      ),
    );
  },
};

const many: Check = {
  name: "many steps",
  after: ["schema"],
  async ask(target) {
    const many = await target.read((sql) => findManySteps(sql, MOST_KEYS));
    if (many.length === 0) return ok(`no name has more than ${MOST_KEYS} keys in a task`);
    return found(
      "warning",
      `each attempt reads the results of ${
        listed(many.map(({ id, name, count }) => `${count} steps "${name}" of task ${id}`), 3)
      }`,
      ...many.slice(0, 3).map(({ id }) =>
        `See what they do: firefly steps ${id}; let the handler schedule its successor after a number of them`
      ),
    );
  },
};

const changed: Check = {
  name: "changed steps",
  after: ["schema"],
  async ask(target) {
    const resting = await target.read(findChangedSteps);
    if (resting.length === 0) return ok("no task rests as its code was changed");
    const names = Map.groupBy(resting, ({ funcName }) => funcName);
    const named = Array.from(names, ([name, tasks]) => `${counted(tasks.length, "task")} "${name}"`);
    return found(
      "warning",
      `${listed(named, 3)} cannot go on, as the code of steps that have run was changed`,
      ...Array.from(names.values(), ([first]) => `${first!.message}: see firefly explain ${first!.id}`).slice(0, 5),
    );
  },
};

/** The checks of steps, of suspended tasks and of signals. */
export const WORKFLOW_CHECKS: readonly Check[] = [waits, signals, orphans, many, changed];
