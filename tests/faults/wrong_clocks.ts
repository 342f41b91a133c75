import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { allEnded, consumersLive, startConsumerOf, statusesOf } from "./consumers.ts";
import { type Fault, type Figures, percentile, type Scale } from "./fault.ts";
import { without } from "../support/without.ts";

/** The clocks of four consumers, beside the server's. */
const CLOCKS = ["+2h", "-2h", "+90m", "+0"];

/** Without it, a lease is as long as its consumer's clock says. */
const SERVER_CLOCK = {
  file: "src/store/consumers.ts",
  find: "SET seen = now(), lease_until = now() + make_interval(secs => ${lease}), memory",
  replace:
    "SET seen = now(), lease_until = ${new Date().toISOString()}::text::timestamptz + make_interval(secs => ${lease})",
};

/** Fault 18: the clocks of consumers may say what they want. */
export const wrongClocks: Fault = {
  number: 18,
  title: "four consumers with clocks 2 hours apart, a cron that runs every second",
  needs: ["faketime"],
  async run(figures, scale) {
    await using db = await testDatabase();
    await tickFor(db, secondsOf(scale), {});
    const lingered = await statusesOf(db, "data.linger");
    const slots = await slotsOf(db);

    figures.is("tasks longer than a lease that completed", lingered.completed ?? 0, CLOCKS.length);
    figures.is("early rescues", await rescuesOf(db), 0);
    figures.atLeast("slots", slots.length, secondsOf(scale) - 1);
    figures.is("slots left out", slots.at(-1)!.second - slots[0]!.second + 1 - slots.length, 0);
    figures.is("slots with more than one task", slots.filter(({ tasks }) => tasks > 1).length, 0);
    figures.within("slot to task, p99", percentile(slots.map(({ late }) => late), 0.99), 1_000);
  },
  async control(figures: Figures, scale) {
    await using copy = await without(SERVER_CLOCK);
    await using db = await testDatabase();
    await db.sql`ALTER TABLE firefly.cron_slot DROP CONSTRAINT cron_slot_pkey`;
    await tickFor(db, secondsOf(scale), { root: copy.root });
    const doubles = (await slotsOf(db)).filter(({ tasks }) => tasks > 1).length;
    figures.atLeast("early rescues by the consumers' clocks", await rescuesOf(db), 1);
    figures.atLeast("slots with more than one task without the key of slots", doubles, 1);
  },
};

function secondsOf(scale: Scale): number {
  return scale === "full" ? 20 : 5;
}

/** Runs the cron for at least so many slots with four consumers, each with a clock of its own and a task that outlasts its lease. */
async function tickFor(db: TestDatabase, seconds: number, { root }: { root?: string }): Promise<void> {
  const { LD_PRELOAD } = await preload();
  await db.sql`
    INSERT INTO firefly.task (func_name, queue, params)
    SELECT 'data.linger', 'clock' || i, firefly.encode('[3]') FROM generate_series(0, ${CLOCKS.length - 1}) AS i
  `;
  const consumers = CLOCKS.map((clock, i) => {
    // Not by the program faketime, which stays in between and does not pass signals on.
    const env = { LD_PRELOAD, FAKETIME: clock, FAKETIME_DONT_FAKE_MONOTONIC: "1" };
    return startConsumerOf(db, {
      tasks: "tick_tasks.ts",
      args: ["--queue", `default,clock${i}`],
      env,
      ...(root ? { root } : {}),
    });
  });
  try {
    // By their own clocks, some never live for long.
    if (root) await until(async () => (await slotsOf(db)).length > 0, 30_000);
    else await consumersLive(db, CLOCKS.length);
    await until(async () => (await slotsOf(db)).length >= seconds, seconds * 1000 + 60_000);
    if (!root) await allEnded(db, "data.linger");
  } finally {
    await Promise.all(consumers.map((consumer) => consumer[Symbol.asyncDispose]()));
  }
}

/** What the program faketime would set. */
async function preload(): Promise<{ LD_PRELOAD: string }> {
  const { stdout } = await new Deno.Command("faketime", { args: ["-f", "+1h", "printenv", "LD_PRELOAD"] }).output();
  return { LD_PRELOAD: new TextDecoder().decode(stdout).trim() };
}

async function rescuesOf({ sql }: TestDatabase): Promise<number> {
  const [row] = await sql`SELECT sum(rescues)::int AS rescues FROM firefly.task_record`;
  return row!.rescues;
}

/** The slots that came, with the tasks of each, and milliseconds from the slot to its task. */
async function slotsOf({ sql }: TestDatabase): Promise<{ second: number; tasks: number; late: number }[]> {
  const rows = await sql`
    SELECT EXTRACT(epoch FROM not_before)::int AS second, count(*)::int AS tasks,
      EXTRACT(epoch FROM min(created) - not_before)::float8 * 1000 AS late
    FROM firefly.task
    WHERE func_name = 'data.tick'
    GROUP BY not_before
    ORDER BY not_before
  `;
  return rows.map(({ second, tasks, late }) => ({ second, tasks, late }));
}
