import { assertEquals } from "@std/assert";
import { Database } from "../../src/database/pools.ts";
import type { Tag } from "../../src/database/driver.ts";
import { Emitter } from "../../src/events.ts";
import { Listener } from "../../src/notify/listener.ts";
import { migrate, migrationText, requireSchema } from "../../src/schema/migrator.ts";
import { Session } from "../../src/database/session.ts";
import { claimTasks } from "../../src/store/claim.ts";
import { registerConsumer } from "../../src/store/consumers.ts";
import { queueChannel } from "../../src/store/listen.ts";
import { insertTasks } from "../../src/store/insert.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { outcomeOf } from "../support/settling.ts";
import { until } from "../support/waiting.ts";

Deno.test("migrationText() replaces the name of the schema, as an identifier and as a literal", () => {
  const sql = `CREATE TABLE "firefly".a; SELECT 'firefly' || '_x', '$&';`;

  assertEquals(migrationText(sql, `o'dd "$&"`), `CREATE TABLE "o'dd ""$&""".a; SELECT 'o''dd "$&"' || '_x', '$&';`);
});

/** Schedules, claims and settles one task in a schema, and receives its notification. */
async function useSchema(db: TestDatabase, sql: Tag): Promise<void> {
  const { schemaName: schema } = sql;
  const events = new Emitter();
  const listener = new Listener((options) => new Session(db.settings, options), { schema, events });
  const received: (string | undefined)[] = [];
  listener.subscribe([queueChannel(schema, "mail")], (channel) => received.push(channel));
  await until(() => received.length > 0);

  const [task] = await insertTasks(sql, [{
    func_name: "odd.task",
    queue: "mail",
    params: "W10=",
    priority: 0,
    not_before: null,
    delay: null,
    max_retries: 0,
    retry_delay: 1,
    backoff: null,
    timeout: null,
    tags: ["a"],
  }]);
  await until(() => received.includes(queueChannel(schema, "mail")));
  await listener.end();

  const consumerId = crypto.randomUUID();
  const info = {
    id: consumerId,
    host: "h",
    pid: 1,
    version: "0",
    queues: ["mail"],
    tasks: ["odd.task"],
    concurrency: 1,
  };
  await registerConsumer(sql, info, 60);
  const { tasks: [claimed] } = await claimTasks(sql, {
    consumerId,
    batchId: crypto.randomUUID(),
    quarantinedBatchId: null,
    queues: ["mail"],
    names: ["odd.task"],
    limit: 1,
  });
  assertEquals(String(claimed?.id), task?.id);
  await settleTasks(sql, [outcomeOf(claimed!)], [claimed!.batchId]);
  const [row] = await sql`SELECT status, returned FROM ${sql.schema}.task_json`;
  assertEquals({ ...row }, { status: "completed", returned: null });
  const [scheduled] = await sql`SELECT ${sql.schema}.schedule('odd.task', '[1]', 'mail') AS id`;
  const [cancelled] = await sql`SELECT ${sql.schema}.cancel(${scheduled!.id}) AS done, ${sql.schema}.retry(${
    scheduled!.id
  }) AS again`;
  assertEquals(cancelled!.done, true);
}

for (const schema of ["select", "Upper Case", `quo"te'd`, "ünï.\\code"]) {
  Deno.test(`migrate() makes a schema named ${schema} in which everything works`, async () => {
    await using db = await testDatabase({ migrated: false });
    await migrate(db.settings, schema);
    const database = new Database(db.settings, schema);

    await requireSchema(database.sql, schema);
    await useSchema(db, database.sql);

    await database.end();
    assertEquals((await db.sql`SELECT FROM pg_namespace WHERE nspname = ${schema}`).length, 1);
    assertEquals((await db.sql`SELECT FROM pg_namespace WHERE nspname = 'firefly'`).length, 0);
  });
}
