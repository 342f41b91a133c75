import { didYouMean } from "../suggest.ts";
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

/** How long records are looked at for unplaced, in milliseconds. */
const UNPLACED_TIME = 3_000;

function isAlive({ seconds }: ConsumerState): boolean {
  return seconds > 0;
}

const consumers: Check = {
  name: "consumers",
  after: ["schema"],
  async ask(patient) {
    const all = await patient.read(readConsumers);
    const orphaned = await patient.read(countOrphaned);
    const live = all.filter(isAlive);
    const dead = all.filter((consumer) => !isAlive(consumer));
    const held = orphaned + dead.reduce((sum, { held }) => sum + held, 0);
    if (dead.length + held === 0) {
      return live.length > 0 ? ok(`${live.length} live`) : found("note", "none lives", "Start one: firefly consume");
    }
    const named = dead.map(({ host, pid }) => `process ${pid} on ${host}`);
    const value = [
      `${live.length} live`,
      ...(dead.length > 0 ? [`${dead.length} died and nobody buried them (${listed(named, 3)})`] : []),
      ...(held > 0 ? [`${counted(held, "task")} to rescue`] : []),
    ].join(", ");
    const isStuck = held > 0 || dead.some(({ seconds }) => live.length > 0 && seconds < -60);
    return found(
      isStuck ? "wrong" : "warning",
      value,
      live.length > 0
        ? "A live consumer does that within seconds: if this stays, look into its log for maintenance that fails"
        : "Start a consumer: it buries the dead and rescues what they held. firefly consume",
    );
  },
};

const queues: Check = {
  name: "queues",
  after: ["schema"],
  async ask(patient) {
    const served = new Set((await patient.read(readConsumers)).filter(isAlive).flatMap(({ queues }) => queues));
    const backlog = await patient.read(readBacklog);
    const paused = await patient.read(readPausedQueues);
    const waiting = new Map<string, { tasks: number; due: number }>();
    for (const { queue, tasks, due } of backlog) {
      const sum = waiting.get(queue) ?? { tasks: 0, due: 0 };
      waiting.set(queue, { tasks: sum.tasks + tasks, due: sum.due + due });
    }
    const deserted = [...waiting].filter(([queue]) => !served.has(queue) && !paused.includes(queue));
    if (deserted.length > 0) {
      return found(
        deserted.some(([, { due }]) => due > 0) ? "wrong" : "warning",
        listed(deserted.map(([queue, { tasks }]) => `${queue} has ${counted(tasks, "task")} and no live consumer`)),
        ...deserted.slice(0, 5).map(([queue]) => `Start a consumer: firefly consume --queue ${queue}`),
      );
    }
    if (paused.length > 0) {
      return found(
        "note",
        `paused: ${listed(paused)}`,
        ...paused.slice(0, 5).map((queue) => `Go on with it: firefly resume ${queue}`),
      );
    }
    return ok(waiting.size > 0 ? `${waiting.size} with tasks, each with a consumer` : "nothing waits");
  },
};

const names: Check = {
  name: "task names",
  after: ["schema"],
  async ask(patient) {
    const own = patient.options.names;
    const live = (await patient.read(readConsumers)).filter(isAlive);
    const unknown = (await patient.read(readBacklog)).flatMap(({ queue, funcName, tasks }) => {
      const serving = live.filter(({ queues }) => queues.includes(queue));
      const known = serving.length > 0 ? serving.flatMap((consumer) => consumer.tasks) : own;
      if (known.length === 0 || known.includes(funcName)) return [];
      const hint = didYouMean(funcName, known);
      const cure = own.includes(funcName)
        ? `Deploy: "${funcName}" is defined here, and no consumer of queue ${queue} knows it`
        : `Define "${funcName}"${hint || ", or cancel its tasks"}. If it was renamed, list the old name in aliases`;
      return [{
        cure,
        value: `${counted(tasks, "task")} "${funcName}" in ${queue}${hint}`,
        served: serving.length > 0,
      }];
    });
    if (unknown.length === 0) return ok("all that wait are known");
    return found(
      unknown.some(({ served }) => served) ? "wrong" : "warning",
      `nobody knows ${listed(unknown.map(({ value }) => value), 3)}`,
      ...unknown.slice(0, 5).map(({ cure }) => cure),
    );
  },
};

const unplaced: Check = {
  name: "unplaced",
  after: ["schema"],
  async ask(patient) {
    const until = performance.now() + UNPLACED_TIME;
    const ids: number[] = [];
    let [last, seen] = [Infinity, 0];
    while (last > 0 && performance.now() < until) {
      const before = last;
      const round = await patient.read((sql) => findUnplaced(sql, before === Infinity ? null : before));
      ids.push(...round.unplaced);
      [last, seen] = [round.last, seen + round.seen];
    }
    const looked = last > 0 ? `the newest ${counted(seen, "record")}` : counted(seen, "record");
    if (ids.length === 0) return ok(`none among ${looked}`);
    return found(
      "warning",
      `${counted(ids.length, "task")} neither ready nor waiting, as an edit by hand leaves it: ${
        listed(ids.map(String))
      }`,
      "Any live consumer puts them back within a minute or so",
    );
  },
};

const crons: Check = {
  name: "crons",
  after: ["schema"],
  async ask(patient) {
    const { crons, orphaned } = await patient.read(readOrphanedCrons);
    if (orphaned.length === 0) return ok(crons > 0 ? `${crons}, each with a consumer` : "there are none");
    const lost = orphaned.filter(({ removed }) => !removed);
    return found(
      lost.length > 0 ? "wrong" : "note",
      `no live consumer stands for ${listed(orphaned.map(({ name }) => name))}`,
      ...orphaned.slice(0, 5).map(({ name, removed }) =>
        removed
          ? `It was removed from the code, so forget it: firefly cron delete ${name}`
          : `Start a consumer that defines ${name}: until then its slots pass`
      ),
    );
  },
};

/** What is asked of queues, tasks and those who run them. */
export const TASK_CHECKS: readonly Check[] = [consumers, queues, names, unplaced, crons];
