import { removeExpiredConsumers, rescueTasks } from "../../src/store/consumers.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import type { CliProcess } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { until } from "../support/waiting.ts";
import { without } from "../support/without.ts";
import { startConsumerOf } from "./consumers.ts";
import type { Fault, Figures, Scale } from "./fault.ts";
import { NO_MEMO } from "./protections.ts";
import { EFFECTS, NAMES } from "./step_tasks.ts";

/** Whether a consumer is killed before a statement is sent, or after its reply has come. */
type Moment = "before" | "after";

/** How many kills there are at least, by how many statements they are apart, and how many databases take part. */
const SIZES: Record<Scale, { kills: number; every: number; lanes: number }> = {
  full: { kills: 200, every: 1, lanes: 2 },
  short: { kills: 8, every: 7, lanes: 1 },
};

/** Fault 22: a consumer dies between any two statements of a task with ten steps. */
export const killedSteps: Fault = {
  number: 22,
  title: "kill -9 the consumer before each statement of a task with ten steps, and after each reply",
  async run(figures, scale) {
    const { kills, wrong } = await killAll(scale);
    figures.atLeast("consumers killed in the middle of a task", kills, SIZES[scale].kills);
    figures.is("tasks whose effects or steps are lost, doubled or out of order", wrong, 0);
  },
  async control(figures: Figures) {
    await using copy = await without(NO_MEMO);
    const { wrong } = await killAll("short", copy.root);
    figures.atLeast("tasks with effects twice, as steps are stored apart from their effects", wrong, 1);
  },
};

async function killAll(scale: Scale, root?: string): Promise<{ kills: number; wrong: number }> {
  const { kills, every, lanes } = SIZES[scale];
  const results = await Promise.all(
    Array.from({ length: lanes }, (_, lane) =>
      killInLane({
        least: kills / lanes,
        first: 1 + lane * every + Math.floor(Math.random() * every),
        step: every * lanes,
        root,
      })),
  );
  return {
    kills: results.reduce((sum, { kills }) => sum + kills, 0),
    wrong: results.reduce((sum, { wrong }) => sum + wrong, 0),
  };
}

interface Lane {
  readonly least: number;
  /** The number of the first statement at which a consumer is killed, and how far the next one is. */
  readonly first: number;
  readonly step: number;
  readonly root: string | undefined;
}

/** Kills a consumer at one statement after the other of a task, each time of a new one; begins again at its end. */
async function killInLane({ least, first, step, root }: Lane): Promise<{ kills: number; wrong: number }> {
  await using db = await testDatabase();
  await db.sql`CREATE TABLE step_ledger (task_id bigint, name text)`;
  await using proxy = await TcpProxy.start(db.url);
  const dead: CliProcess[] = [];
  const ids: number[] = [];
  let kills = 0;
  const start = async () => {
    const options = { tasks: "step_tasks.ts", lease: "60s", args: ["--concurrency", "2"] };
    const consumer = startConsumerOf(
      { url: proxy.through(db.url) },
      root === undefined ? options : { ...options, root },
    );
    // It first ends the task that the one before it was killed at.
    await until(async () => await countLive(db) === 1 && await countOpen(db) === 0, 60_000);
    return consumer;
  };
  let consumer = await start();
  try {
    for (let round = 0; kills < least; round++) {
      const moment: Moment = round % 2 === 0 ? "before" : "after";
      for (let number = first;; number += step) {
        const isKilled = killAt(proxy, { consumer, moment, number });
        const id = await insertTask(db, { func_name: "steps.ten" });
        ids.push(id);
        await until(async () => isKilled() || (await recordOf(db, id)).status === "completed", 30_000);
        proxy.onRequest = proxy.onReply = () => {};
        if (!isKilled()) break;
        kills++;
        await consumer.exited;
        proxy.cut();
        dead.push(consumer);
        await rescue(db);
        consumer = await start();
      }
    }
  } finally {
    await Promise.all([consumer, ...dead].map((process) => process[Symbol.asyncDispose]()));
  }
  let wrong = 0;
  for (const id of ids) if (!await isRight(db, id)) wrong++;
  return { kills, wrong };
}

/** Kills a consumer at the statement with a number, counted from now on; returns whether it has. */
function killAt(
  proxy: TcpProxy,
  { consumer, moment, number }: { consumer: CliProcess; moment: Moment; number: number },
): () => boolean {
  let [count, isKilled] = [0, false];
  const kill = () => {
    isKilled = true;
    consumer.kill("SIGKILL");
  };
  if (moment === "before") {
    proxy.onRequest = (_, connection) => {
      if (isKilled || ++count === number) connection.mode = "hole";
      if (!isKilled && count === number) kill();
    };
  } else {
    proxy.onReply = () => {
      if (!isKilled && ++count === number) kill();
    };
  }
  return () => isKilled;
}

async function countLive({ sql }: TestDatabase): Promise<number> {
  return (await sql`SELECT FROM firefly.consumer WHERE lease_until > now()`).count;
}

async function countOpen({ sql }: TestDatabase): Promise<number> {
  return (await sql`SELECT FROM firefly.task WHERE status = 'created'`).count;
}

/** Does what other consumers do once the lease of the dead one has expired. */
async function rescue(db: TestDatabase): Promise<void> {
  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 hour'`;
  await removeExpiredConsumers(db.store);
  // A transaction that the dead one has begun may hold the record until the server has noticed that.
  await until(async () => {
    await rescueTasks(db.store);
    return (await db.sql`SELECT FROM firefly.claim_batch`).count === 0;
  }, 30_000);
}

/** Whether a task has completed with each effect once, and its steps in their order. */
async function isRight({ sql }: TestDatabase, id: number): Promise<boolean> {
  const [row] = await sql`
    SELECT status,
      ARRAY(SELECT name FROM step_ledger WHERE task_id = ${id} ORDER BY name) AS effects,
      ARRAY(SELECT name FROM firefly.step WHERE task_id = ${id} ORDER BY seq) AS steps,
      ARRAY(SELECT seq FROM firefly.step WHERE task_id = ${id} ORDER BY seq) AS seqs
    FROM firefly.task
    WHERE id = ${id}
  `;
  const { status, effects, steps, seqs } = row!;
  const expected = ["completed", EFFECTS, NAMES, NAMES.map((_, i) => i + 1)];
  return JSON.stringify([status, effects.toSorted(), steps, seqs]) === JSON.stringify(expected);
}
