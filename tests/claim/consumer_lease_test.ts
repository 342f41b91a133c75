import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { resolveConnection } from "../../src/database/settings.ts";
import { Database } from "../../src/database/pools.ts";
import type { Tag } from "../../src/database/driver.ts";
import { ConsumerLease } from "../../src/claim/consumer_lease.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { testConfig } from "../support/consumer_config.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** A lease with a note of its callbacks. */
function testLease(sql: Tag, leaseMs: number) {
  const heard: { what: string; at: number; id: string }[] = [];
  const note = (what: string) => heard.push({ what, at: performance.now(), id: lease.id });
  const lease: ConsumerLease = new ConsumerLease(sql, {
    config: testConfig({ leaseMs }),
    queues: { names: ["default"] },
    slots: { count: 10 },
    hooks: { onRenewed: () => note("renewed"), onExpired: () => note("expired"), onError: () => note("error") },
  });
  return { lease, heard, count: (what: string) => heard.filter((each) => each.what === what).length };
}

async function consumers(db: TestDatabase): Promise<{ id: string; left: number }[]> {
  return [
    ...await db.sql<{ id: string; left: number }[]>`
    SELECT id, extract(epoch FROM lease_until - now())::float AS left FROM firefly.consumer
  `,
  ];
}

Deno.test("start() registers, renews every third of the lease, and end() deregisters", async () => {
  await using db = await testDatabase();
  const { lease, count } = testLease(db.store, 1_000);
  assert(!lease.valid);

  await lease.start();
  const started = performance.now();
  assert(lease.valid);
  assertEquals((await consumers(db)).map(({ id }) => id), [lease.id]);
  await until(() => count("renewed") === 4);
  const took = performance.now() - started;
  assert(took > 1200 && took < 5000, `4 renewals in ${took} ms`);
  assert((await consumers(db))[0]!.left > 0);
  assertEquals([count("expired"), count("error"), lease.valid], [0, 0, true]);
  await lease.end();

  assertEquals(await consumers(db), []);
});

Deno.test("a lease whose row was removed expires once, and goes on under a new id", async () => {
  await using db = await testDatabase();
  const { lease, heard } = testLease(db.store, 30_000);
  await lease.start();
  const { id } = lease;
  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 s'`;
  assertEquals(await removeExpiredConsumers(db.store), [id]);

  await lease.renew();

  assertEquals(heard.map(({ what }) => what), ["expired", "renewed"]);
  assertEquals(heard[0]!.id, id, "what expires is the old one");
  assert(lease.id !== id && lease.valid);
  assertEquals((await consumers(db)).map(({ id }) => id), [lease.id]);
  await lease.renew();
  assertEquals(heard.map(({ what }) => what), ["expired", "renewed", "renewed"]);
  await lease.end();
});

Deno.test("renew() called by several at once renews one after the other", async () => {
  await using db = await testDatabase();
  const { lease, heard } = testLease(db.store, 30_000);
  await lease.start();
  await db.sql`DELETE FROM firefly.consumer`;

  await Promise.all([lease.renew(), lease.renew(), lease.renew()]);

  assertEquals(heard.map(({ what }) => what), ["expired", "renewed", "renewed", "renewed"]);
  assertEquals((await consumers(db)).map(({ id }) => id), [lease.id]);
  await lease.end();
});

Deno.test("a lease that cannot be renewed expires before others may take over, and recovers", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  const database = new Database(await resolveConnection(proxy.through(db.url)), "firefly");
  const { lease, heard, count } = testLease(database.sql, 2_000);
  await lease.start();
  await until(() => count("renewed") === 1);
  const renewedAt = heard[0]!.at;

  proxy.mode = "hole"; // no error, no answer
  await until(() => count("expired") === 1);

  const silence = heard.at(-1)!.at - renewedAt;
  assert(silence > 1000 && silence < 2000, `it expired ${silence} ms after it was renewed; the lease is 2,000 ms`);
  assert(!lease.valid);
  proxy.mode = "pass";
  proxy.cut({ reset: true });
  await until(() => lease.valid);
  assertEquals(count("expired"), 1);
  assert(count("error") >= 1);
  await lease.end();
  await database.end();
});

Deno.test("a lease whose renewal is answered too late stays expired, and is reported once", async () => {
  await using db = await testDatabase();
  const { lease, count } = testLease(db.store, 1_000);
  await lease.start();

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.consumer WHERE id = ${lease.id} FOR UPDATE`;
    await until(() => count("expired") === 1);
    await sleep(500); // the answer to the renewal comes when the next one is due long since
  });
  await until(() => lease.valid);

  assertEquals(count("expired"), 1);
  await lease.end();
});

Deno.test("a lease that gets errors tries again long before it would expire", async () => {
  await using db = await testDatabase();
  const { lease, count } = testLease(db.store, 6_000);
  await lease.start();
  await db.sql`ALTER TABLE firefly.consumer RENAME TO consumer_away`;

  await until(() => count("error") >= 2);
  await db.sql`ALTER TABLE firefly.consumer_away RENAME TO consumer`;
  await until(() => count("renewed") === 1);

  assertEquals([count("expired"), lease.valid], [0, true]);
  await lease.end();
});
