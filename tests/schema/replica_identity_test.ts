import { assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";

const limited = task({
  name: taskName(),
  concurrency: { limit: 1 },
  rateLimit: { limit: 10, per: "1s" },
  unique: { key: () => "k" },
}, () => 2);

Deno.test("every table has a replica identity, so that a publication of all tables forbids no statement", async () => {
  await using db = await testDatabase();
  const without = await db.sql`
    SELECT relname FROM pg_class
    WHERE relnamespace = 'firefly'::regnamespace AND relkind IN ('r', 'p') AND relpersistence = 'p'
      AND NOT (relreplident = 'f' OR EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = pg_class.oid AND (relreplident = 'd' AND indisprimary OR relreplident = 'i' AND indisreplident)
      ))
  `;
  assertEquals([...without], []);
});

Deno.test("tasks run, and can be cancelled, in a database that publishes all tables", async () => {
  await using db = await testDatabase();
  await db.sql`CREATE PUBLICATION everything FOR ALL TABLES`;
  await using ff = new Firefly({ database: db.url });
  const record = await ff.run(() => limited.schedule());
  await ff.consume({ drain: true }).finished;
  assertEquals((await ff.tasks.get(record.id)).status, "completed");

  const late = await ff.run(() => limited.with({ delay: "1h" }).schedule());
  assertEquals(await late.cancel(), true);
  assertEquals(await (await ff.run(() => limited.schedule())).cancel(), true);
});
