import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";

const name = taskName();
const echo = task({ name, queue: "far", unique: { key: (n: number) => `n ${n}` } }, (n: number) => n);

/** Times that PostgreSQL has and a Date may not, with the milliseconds that a record shows. */
const TIMES: [time: string, shown: number][] = [
  ["infinity", 8.64e15],
  ["294276-12-31 23:59:59+00", 8.64e15],
  ["10000-01-01 00:00:00+00", 253402300800000],
  ["-infinity", -8.64e15],
  ["4713-01-01 00:00:00+00 BC", -210863520000000],
  ["0044-03-15 00:00:00+00", -60772291200000],
];

for (const [time, shown] of TIMES) {
  Deno.test(`a task with not_before ${time} is in no other task's way, and its record can be read`, async () => {
    await using db = await testDatabase();
    await using ff = new Firefly({ database: db.url });
    const errors: unknown[] = [];
    ff.on("consumer.error", ({ action, error }) => errors.push(`${action}: ${error}`));
    const [{ id }] = await db.sql`
      SELECT firefly.schedule(${name}, '[1]', 'far', ${time}::text::timestamptz, unique_key => 'far') AS id
    ` as unknown as [{ id: string }];
    const plain = await db.sql`
      INSERT INTO firefly.task (func_name, queue, params, not_before)
      VALUES (${name}, 'far', 'WzJd', ${time}::text::timestamptz) RETURNING id
    `;
    assertEquals((await ff.queues())[0]!.oldestDue === null, shown > Date.now());
    const other = await ff.run(() => echo.schedule(3));
    await ff.consume({ queues: ["far"], drain: true }).finished;

    assertEquals((await ff.tasks.get(other.id)).status, "completed");
    for (const far of [Number(id), Number(plain[0]!.id)]) {
      const record = await ff.tasks.get(far);
      assertEquals(record.notBefore.getTime(), shown);
      assertEquals(record.status, shown > Date.now() ? "created" : "completed");
      assertEquals(JSON.parse(JSON.stringify(record)).not_before, new Date(shown).toISOString());
      assert((await ff.tasks.explain(far)).summary);
      assertEquals(
        (await ff.run(() => echo.with({ notBefore: record.notBefore }).schedule(4))).notBefore.getTime(),
        shown,
      );
      await db.sql`DELETE FROM firefly.task WHERE unique_key = 'n 4'`;
    }
    assertEquals((await ff.queues()).length, 1);
    assertEquals(errors, []);
  });
}

Deno.test("times that an edit by hand makes infinite stop neither pruning nor the list of queues", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const records = await ff.run(() => echo.scheduleMany([[1], [2], [3], [4]]));
  await ff.consume({ queues: ["far"], drain: true }).finished;
  const ids = records.map(({ id }) => id);
  await db.sql`UPDATE firefly.task SET completed = 'infinity', created = 'infinity' WHERE id = ${ids[0]!}`;
  await db.sql`UPDATE firefly.task SET completed = '-infinity', created = '-infinity' WHERE id = ${ids[1]!}`;
  await db.sql`UPDATE firefly.task SET completed = now() - interval '1 year' WHERE id = ${ids[2]!}`;

  assertEquals(await ff.prune(), 2);

  assertEquals((await ff.tasks.list()).items.map(({ id }) => id), [ids[3]!, ids[0]!]);
  assertEquals((await ff.queues())[0]!.counts.completed, 2);
});

Deno.test("a retry after a delay that no time can hold waits, and the other attempts of its batch end", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const failing = taskName();
  task({ name: failing, queue: "far" }, () => {
    throw new Error("no");
  });
  await db.sql`
    INSERT INTO firefly.task (func_name, queue, max_retries, retry_delay)
    VALUES (${failing}, 'far', 3, 1e12), (${failing}, 'far', 3, 1e300), (${failing}, 'far', 0, 1)
  `;

  await ff.consume({ queues: ["far"], drain: true }).finished;

  const rows = await db.sql`SELECT status, not_before > now() AS late FROM firefly.task ORDER BY id`;
  assertEquals(rows.map(({ status, late }) => [status, late]), [["created", true], ["created", true], [
    "failed",
    false,
  ]]);
});
