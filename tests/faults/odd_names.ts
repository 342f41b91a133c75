import { Firefly, task } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";
import { consumersLive, startConsumerOf } from "./consumers.ts";
import type { Fault } from "./fault.ts";

const INJECTION = 'q"; drop table--';
/** What a queue may be called: its channel, with `firefly_` before it, must not be longer than 63 bytes. */
const GOOD = ["a", "0", "a-b_c.d", "x".repeat(55)];
const BAD = ["x".repeat(56), "x".repeat(200), "é", "x".repeat(54) + "é", 'a"b', "a'b", "a\0b", "", " ", "A", INJECTION];

const echo = task("data.echo", (value: unknown) => value);

/** Fault 14: whatever a queue is called, a task is delivered, or refused by who schedules it. */
export const oddNames: Fault = {
  number: 14,
  title: "names of queues with 55, 56 and 200 bytes, é, quotes, NUL, nothing; an injection",
  async run(figures) {
    await using db = await testDatabase();
    await using ff = new Firefly({ database: db.url });
    const ways: Record<string, (queue: string) => Promise<unknown>> = {
      "schedule()": (queue) => ff.run(async () => await echo.with({ queue }).schedule(1)),
      "INSERT": (queue) => db.sql`INSERT INTO firefly.task (func_name, queue) VALUES ('data.echo', ${queue})`,
      "firefly.schedule()": (queue) => db.sql`SELECT firefly.schedule('data.echo', '[1]', queue => ${queue})`,
    };
    // It polls too seldom to find anything by itself.
    await using _consumer = startConsumerOf(db, { args: ["--queue", GOOD.join(), "--poll-interval", "10m"] });
    await consumersLive(db, 1);
    await until(async () => await listening(db) > 0);
    for (const [way, schedule] of Object.entries(ways)) {
      const sent = performance.now();
      for (const queue of GOOD) await schedule(queue);
      await until(async () => await countOf(db, "completed") >= GOOD.length, 10_000).catch(() => {});
      figures.is(`delivered by ${way}`, await countOf(db, "completed"), GOOD.length);
      figures.within(`the last one after`, performance.now() - sent, 2_000);
      const refusals = await Promise.allSettled(BAD.map(async (queue) => await schedule(queue)));
      figures.is(`refused by ${way}`, refusals.filter(({ status }) => status === "rejected").length, BAD.length);
      await db.sql`DELETE FROM firefly.task WHERE status = 'completed'`;
    }
    figures.is("records of refused tasks", (await db.sql`SELECT FROM firefly.task`).count, 0);

    const tables = await countTables(db);
    const row = { func_name: INJECTION, tags: [INJECTION] };
    const [stored] = await db.sql`INSERT INTO firefly.task ${db.sql(row)} RETURNING func_name, tags[1] AS tag`;
    figures.is(
      "stored unchanged in a name and a tag",
      `${stored!.func_name} ${stored!.tag}`,
      `${INJECTION} ${INJECTION}`,
    );
    figures.is("tables dropped by an injection", tables - await countTables(db), 0);
  },
};

async function listening(db: TestDatabase): Promise<number> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'firefly' AND query ~ 'LISTEN|pg_listening_channels|_wake_lock'
  `;
  return rows.count;
}

async function countOf(db: TestDatabase, status: string): Promise<number> {
  return (await db.sql`SELECT FROM firefly.task WHERE status = ${status}`).count;
}

async function countTables(db: TestDatabase): Promise<number> {
  return (await db.sql`SELECT FROM pg_tables WHERE schemaname = 'firefly'`).count;
}
