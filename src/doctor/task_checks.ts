import { asSentences, didYouMean } from "../suggest.ts";
import { deliversAlerts } from "../store/alerts.ts";
import { readLateDependencies } from "../store/dependencies.ts";
import {
  type ConsumerState,
  countOrphaned,
  findUnplaced,
  readBacklog,
  readConsumers,
  readOrphanedCrons,
  readPausedQueues,
} from "../store/health_tasks.ts";
import { type Check, counted, found, listed, ok } from "./check.ts";

/** The longest to search for unplaced tasks, in milliseconds. */
const UNPLACED_TIME = 3_000;

function isLive({ seconds }: ConsumerState): boolean {
  return seconds > 0;
}

const consumers: Check = {
  name: "consumers",
  after: ["schema"],
  async ask(target) {
    const all = await target.read(readConsumers);
    const orphaned = await target.read(countOrphaned);
    const ordinary = all.filter((consumer) => !deliversAlerts(consumer));
    const live = ordinary.filter(isLive);
    const crashed = ordinary.filter((consumer) => !isLive(consumer));
    const held = orphaned + all.filter((consumer) => !isLive(consumer)).reduce((sum, { held }) => sum + held, 0);
    if (crashed.length + held === 0) {
      return live.length > 0
        ? ok(`${live.length} live`)
        : found("note", "none is running", "Start one: firefly consume");
    }
    const named = crashed.map(({ host, pid }) => `process ${pid} on ${host}`);
    const value = [
      `${live.length} live`,
      ...(crashed.length > 0
        ? [`${counted(crashed.length, "crashed consumer")} not yet cleaned up (${listed(named, 3)})`]
        : []),
      ...(held > 0 ? [`${counted(held, "task")} to requeue`] : []),
    ].join(", ");
    const isStuck = held > 0 || crashed.some(({ seconds }) => live.length > 0 && seconds < -60);
    return found(
      isStuck ? "wrong" : "warning",
      value,
      live.length > 0
        ? "A live consumer cleans up within seconds: if this persists, look for failing maintenance in its log"
        : "Start a consumer, which removes crashed consumers and requeues their tasks: firefly consume",
    );
  },
};

const queues: Check = {
  name: "queues",
  after: ["schema"],
  async ask(target) {
    const served = new Set((await target.read(readConsumers)).filter(isLive).flatMap(({ queues }) => queues));
    const backlog = await target.read(readBacklog);
    const paused = await target.read(readPausedQueues);
    const waiting = new Map<string, { tasks: number; due: number }>();
    for (const { queue, tasks, due } of backlog) {
      const sum = waiting.get(queue) ?? { tasks: 0, due: 0 };
      waiting.set(queue, { tasks: sum.tasks + tasks, due: sum.due + due });
    }
    const unserved = [...waiting].filter(([queue]) => !served.has(queue) && !paused.includes(queue));
    if (unserved.length > 0) {
      return found(
        unserved.some(([, { due }]) => due > 0) ? "wrong" : "warning",
        listed(unserved.map(([queue, { tasks }]) => `${queue} has ${counted(tasks, "task")} and no live consumer`)),
        ...unserved.slice(0, 5).map(([queue]) => `Start a consumer: firefly consume --queue ${queue}`),
      );
    }
    if (paused.length > 0) {
      return found(
        "note",
        `paused: ${listed(paused)}`,
        ...paused.slice(0, 5).map((queue) => `Resume it: firefly resume ${queue}`),
      );
    }
    return ok(waiting.size > 0 ? `${waiting.size} with tasks, each with a consumer` : "no tasks are waiting");
  },
};

const names: Check = {
  name: "task names",
  after: ["schema"],
  async ask(target) {
    const own = target.options.names;
    const live = (await target.read(readConsumers)).filter(isLive);
    const unknown = (await target.read(readBacklog)).flatMap(({ queue, funcName, tasks }) => {
      const serving = live.filter(({ queues }) => queues.includes(queue));
      const known = serving.length > 0 ? serving.flatMap((consumer) => consumer.tasks) : own;
      if (known.length === 0 || known.includes(funcName)) return [];
      const hint = didYouMean(funcName, known);
      const fix = own.includes(funcName)
        ? `Deploy "${funcName}": it is defined here, but no consumer of queue ${queue} knows it`
        : asSentences(
          `Define "${funcName}"${hint || ", or cancel its tasks"}`,
          "If it was renamed, add the old name to aliases",
        );
      return [{
        fix,
        value: `${counted(tasks, "task")} "${funcName}" in ${queue}${hint}`,
        served: serving.length > 0,
      }];
    });
    if (unknown.length === 0) return ok("all waiting tasks have a known name");
    return found(
      unknown.some(({ served }) => served) ? "wrong" : "warning",
      `no consumer knows ${listed(unknown.map(({ value }) => value), 3)}`,
      // A name that waits in several queues needs the same advice once.
      ...[...new Set(unknown.map(({ fix }) => fix))].slice(0, 5),
    );
  },
};

const unplaced: Check = {
  name: "unplaced",
  after: ["schema"],
  async ask(target) {
    const until = performance.now() + UNPLACED_TIME;
    const ids: number[] = [];
    let [last, seen] = [Infinity, 0];
    while (last > 0 && performance.now() < until) {
      const before = last;
      const round = await target.read((sql) => findUnplaced(sql, before === Infinity ? null : before));
      ids.push(...round.unplaced);
      [last, seen] = [round.last, seen + round.seen];
    }
    const looked = last > 0 ? `the newest ${counted(seen, "record")}` : counted(seen, "record");
    if (ids.length === 0) return ok(`none in ${looked}`);
    return found(
      "warning",
      `${counted(ids.length, "task")} neither ready nor waiting, probably edited by hand: ${listed(ids.map(String))}`,
      "A live consumer requeues them within about a minute",
    );
  },
};

const crons: Check = {
  name: "crons",
  after: ["schema"],
  async ask(target) {
    const { crons, orphaned } = await target.read(readOrphanedCrons);
    if (orphaned.length === 0) return ok(crons > 0 ? `${crons}, each with a consumer` : "none");
    const lost = orphaned.filter(({ removed }) => !removed);
    return found(
      lost.length > 0 ? "wrong" : "note",
      `no live consumer schedules ${listed(orphaned.map(({ name }) => name))}`,
      ...orphaned.slice(0, 5).map(({ name, removed }) =>
        removed
          ? `It was removed from the code: firefly cron delete ${name}`
          : `Start a consumer that defines ${name}: until then, its slots are missed`
      ),
    );
  },
};

const dependencies: Check = {
  name: "dependencies",
  after: ["schema"],
  async ask(target) {
    const { untold, miscounted } = await target.read(readLateDependencies);
    if (miscounted.length > 0) {
      return found(
        "warning",
        `${counted(miscounted.length, "task")} may never run, as what they wait for was edited by hand: ${
          listed(miscounted.map(String))
        }`,
        "Have it counted again: firefly reschedule ID --priority N, with the priority that the task has",
      );
    }
    if (untold === 0) return ok("none is late");
    return found(
      "warning",
      `${counted(untold, "task")} ended more than a minute ago, and their dependants have not been released`,
      "A live consumer releases them within seconds: start one, or end the transaction that has locked their records",
    );
  },
};

/** The checks of consumers, queues and tasks. */
export const TASK_CHECKS: readonly Check[] = [consumers, queues, names, unplaced, dependencies, crons];
