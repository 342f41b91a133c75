import { assert, assertEquals } from "@std/assert";
import {
  readBatches,
  registerConsumer,
  removeConsumer,
  removeExpiredConsumers,
  renewConsumer,
} from "../../src/store/consumers.ts";
import { testDatabase } from "../support/database.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { lockWait } from "../support/statements.ts";

Deno.test("registerConsumer() registers for the length of the lease, and renewConsumer() renews it", async () => {
  await using db = await testDatabase();
  const left = async () => {
    const [row] = await db
      .sql`SELECT extract(epoch FROM lease_until - now())::float AS left, seen, started FROM firefly.consumer`;
    return row!;
  };
  const id = await startConsumer(db, { lease: 10, queues: ["mail", "default"] });
  const registered = await left();
  assert(registered.left > 5 && registered.left <= 10, `${registered.left}`);

  assertEquals(await renewConsumer(db.store, id, 100), true);

  const renewed = await left();
  assert(renewed.left > 90 && renewed.left <= 100, `${renewed.left}`);
  assert(renewed.seen > registered.seen);
  assertEquals(renewed.started, registered.started);
  const [row] = await db.sql`SELECT queues, tasks, host, pid FROM firefly.consumer`;
  assertEquals(row, { queues: ["mail", "default"], tasks: ["test.task"], host: "test", pid: 1 });
  await removeConsumer(db.store, id);
  assertEquals(await renewConsumer(db.store, id, 100), false);
});

Deno.test("registerConsumer() called again for a lost reply keeps the first row", async () => {
  await using db = await testDatabase();
  const info = { id: crypto.randomUUID(), host: "a", pid: 1, version: "1", queues: [], tasks: [], concurrency: 1 };

  await registerConsumer(db.store, info, 10);
  await registerConsumer(db.store, info, 10);

  assertEquals((await db.sql`SELECT FROM firefly.consumer`).length, 1);
});

Deno.test("removeExpiredConsumers() removes each consumer whose lease has expired once, for good", async () => {
  await using db = await testDatabase();
  const [dead, alive] = [await startConsumer(db), await startConsumer(db)];
  await expireConsumer(db, dead);

  const removals = await Promise.all([
    removeExpiredConsumers(db.store),
    removeExpiredConsumers(db.store),
    removeExpiredConsumers(db.store),
  ]);

  assertEquals(removals.flat(), [dead]);
  assertEquals(await renewConsumer(db.store, dead, 30), false);
  assertEquals(await renewConsumer(db.store, alive, 30), true);
});

Deno.test("removeExpiredConsumers() leaves a consumer that renews at the last moment", async () => {
  await using db = await testDatabase();
  const id = await startConsumer(db);
  await expireConsumer(db, id);

  const removal = await db.sql.begin(async (sql) => {
    // The renewal has the row, and has not committed.
    await sql`UPDATE firefly.consumer SET lease_until = now() + interval '30 s' WHERE id = ${id}`;
    return { removed: await Promise.race([removeExpiredConsumers(db.store), lockWait(db)]) };
  });

  assertEquals(removal.removed, []);
  assertEquals(await renewConsumer(db.store, id, 30), true);
});

Deno.test("renewConsumer() that waits for the consumer's removal is too late", async () => {
  await using db = await testDatabase();
  const id = await startConsumer(db);
  await expireConsumer(db, id);

  let renewal: Promise<boolean>;
  await db.sql.begin(async (sql) => {
    await sql`DELETE FROM firefly.consumer WHERE id = ${id}`;
    renewal = renewConsumer(db.store, id, 30);
    await lockWait(db);
  });

  assertEquals(await renewal!, false);
});

Deno.test("readBatches() reads current claims, and none of an unknown consumer", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db);
  const { tasks: [first, second, third] } = await claim(db, { consumerId });
  await db.sql`SELECT firefly.cancel(${second!.id})`;

  const batches = await readBatches(db.store, consumerId);

  assertEquals(batches.length, 1);
  assertEquals(batches[0]!.id, first!.batchId);
  assertEquals(
    batches[0]!.claims.toSorted((a, b) => a.id - b.id),
    [first, third].map((task) => ({ id: task!.id, claimSeq: 0, concurrencyKey: null, rateKey: null })),
  );
  assertEquals(await readBatches(db.store, crypto.randomUUID()), []);
});
