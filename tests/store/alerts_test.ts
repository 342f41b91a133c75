import { assertEquals } from "@std/assert";
import { fireBacklogAlerts, fireFailedAlerts, fireLostAlert, takeAlertTurn } from "../../src/store/alerts.ts";
import { registerConsumer, removeExpiredConsumers } from "../../src/store/consumers.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";

const ALL = { queues: null, names: null, every: 600 };

/** Inserts a task that has failed. */
async function insertFailed(
  db: TestDatabase,
  message = "no user 1",
  columns: Record<string, unknown> = {},
): Promise<number> {
  const id = await insertTask(db, columns);
  const errors = [{ name: "TypeError", message }];
  await db.sql`DELETE FROM firefly.ready WHERE id = ${id}`;
  await db.sql`UPDATE firefly.task SET status = 'failed', failed = now(), errors = ${
    db.sql.json(errors)
  } WHERE id = ${id}`;
  await db.sql`SELECT firefly._note_failure(task) FROM firefly.task WHERE id = ${id}`;
  return id;
}

/** The data of the alerts that are scheduled, the oldest first. */
// deno-lint-ignore no-explicit-any
async function scheduledAlerts({ sql }: TestDatabase): Promise<any[]> {
  const rows = await sql`
    SELECT firefly.try_decode(params) -> 0 AS alert FROM firefly.task WHERE func_name = 'firefly.alert' ORDER BY id
  `;
  return rows.map(({ alert }) => alert);
}

async function passHours({ sql }: TestDatabase): Promise<void> {
  await sql`UPDATE firefly.alert SET fired = fired - interval '1 hour' WHERE cause <> ''`;
}

Deno.test("takeAlertTurn() lets one of many look", async () => {
  await using db = await testDatabase();

  const turns = await Promise.all([1, 2, 3].map(() => takeAlertTurn(db.store, 60)));

  assertEquals(turns.filter(Boolean).length, 1);
  await db.sql`UPDATE firefly.alert SET fired = fired - interval '2 minutes'`;
  assertEquals(await takeAlertTurn(db.store, 60), true);
});

Deno.test("fireFailedAlerts() schedules one alert for each error, however many look at once", async () => {
  await using db = await testDatabase();
  await insertFailed(db); // before alerts are switched on
  await takeAlertTurn(db.store, 60);
  const ids = [await insertFailed(db), await insertFailed(db, "no user 2"), await insertFailed(db, "other")];
  await insertFailed(db, "x", { func_name: "firefly.alert" });

  const fired = await Promise.all([1, 2, 3].map(() => fireFailedAlerts(db.store, ALL)));

  assertEquals(fired.reduce((sum, count) => sum + count), 2);
  const alerts = (await scheduledAlerts(db)).slice(1);
  assertEquals(alerts.flatMap(({ data }) => data.ids).sort(), ids);
  assertEquals(alerts.map(({ data }) => data.error.message).sort(), ["no user 2", "other"]);

  // The next one of an error comes once `every` has passed, with all that failed with it meanwhile.
  const [later, latest] = [await insertFailed(db), await insertFailed(db)];
  assertEquals(await fireFailedAlerts(db.store, ALL), 0);
  await passHours(db);
  assertEquals(await fireFailedAlerts(db.store, { ...ALL, queues: ["mail"] }), 0);
  assertEquals(await fireFailedAlerts(db.store, ALL), 1);
  assertEquals((await scheduledAlerts(db)).at(-1).data.ids, [latest, later]);
  await passHours(db);
  assertEquals(await fireFailedAlerts(db.store, ALL), 0);
});

Deno.test("fireBacklogAlerts() reports a backlog once, again after a while, and when it is over", async () => {
  await using db = await testDatabase();
  const backlog = [{ cause: "backlog:mail", detail: { queue: "mail" } }];
  const holds = { firing: backlog, over: [], every: 600 };
  const over = { firing: [], over: backlog, every: 600 };

  assertEquals((await Promise.all([1, 2].map(() => fireBacklogAlerts(db.store, holds)))).sort(), [0, 1]);
  assertEquals(await fireBacklogAlerts(db.store, holds), 0);
  await passHours(db);
  assertEquals(await fireBacklogAlerts(db.store, holds), 1);
  assertEquals([await fireBacklogAlerts(db.store, over), await fireBacklogAlerts(db.store, over)], [1, 0]);

  const types = (await scheduledAlerts(db)).map(({ type }) => type);
  assertEquals(types, ["queue.backlog", "queue.backlog", "queue.backlog_over"]);
});

Deno.test("fireLostAlert() reports all lost consumers in one alert", async () => {
  await using db = await testDatabase();
  await takeAlertTurn(db.store, 60);
  for (const pid of [1, 2]) {
    const id = crypto.randomUUID();
    await registerConsumer(db.store, {
      ...{ id, host: "web", pid, version: "0", queues: ["mail"], tasks: [], concurrency: 1 },
    }, 0);
  }
  await removeExpiredConsumers(db.store);

  assertEquals((await Promise.all([1, 2].map(() => fireLostAlert(db.store)))).reduce((sum, count) => sum + count), 1);

  const [{ data }] = await scheduledAlerts(db) as [{ data: { consumers: { pid: number }[] } }];
  assertEquals(data.consumers.map(({ pid }) => pid).sort(), [1, 2]);
});
