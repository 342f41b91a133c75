import { assert, assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { until } from "../support/waiting.ts";
import { define, EVERY_SECOND, firedSlots, startTimer } from "../support/cron_scheduler.ts";

Deno.test("a failure is reported, and loses no slot of the last minute", async () => {
  await using db = await testDatabase();
  const name = taskName();
  await using test = await startTimer(db, [define({ name, cron: EVERY_SECOND })]);
  await until(async () => (await firedSlots(db, name)).length >= 1);

  await db.sql`ALTER TABLE firefly.cron_slot RENAME TO cron_slot_away`;
  await until(() => test.errors.length >= 3);
  await db.sql`ALTER TABLE firefly.cron_slot_away RENAME TO cron_slot`;
  const before = await firedSlots(db, name);
  await until(async () => (await firedSlots(db, name)).length >= before.length + 3);

  const slots = await firedSlots(db, name);
  assertEquals(slots.at(-1)!.getTime() - slots[0]!.getTime(), (slots.length - 1) * 1000);
});

Deno.test("a scheduler whose connections are cut continues", async () => {
  await using db = await testDatabase();
  const name = taskName();
  await using test = await startTimer(db, [define({ name, cron: EVERY_SECOND })]);
  for (let i = 1; i <= 3; i++) {
    await until(async () => (await firedSlots(db, name)).length >= i);
    await db.sql`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'firefly'
    `;
  }
  await until(async () => (await firedSlots(db, name)).length >= 5);

  const slots = await firedSlots(db, name);
  assertEquals(slots.at(-1)!.getTime() - slots[0]!.getTime(), (slots.length - 1) * 1000);
  assert(test.turns.good > 0);
});

Deno.test("a scheduler that cannot register at its start does so later", async () => {
  await using db = await testDatabase();
  const name = taskName();
  await db.sql`ALTER TABLE firefly.cron RENAME TO cron_away`;
  await using test = await startTimer(db, [define({ name, cron: EVERY_SECOND })]);
  await until(() => test.errors.length >= 2);
  await db.sql`ALTER TABLE firefly.cron_away RENAME TO cron`;

  await until(async () => (await firedSlots(db, name)).length >= 1);
});

Deno.test("a cron that cannot be scheduled does not hold up others", async () => {
  await using db = await testDatabase();
  const [bad, good] = [taskName(), taskName()];
  await using test = await startTimer(db, [
    define({ name: bad, cron: EVERY_SECOND }),
    define({ name: good, cron: EVERY_SECOND }),
  ]);
  await db.sql`UPDATE firefly.cron SET task = task || '{"queue": "Not A Queue"}' WHERE name = ${bad}`;
  const fired = (await firedSlots(db, bad)).length; // a slot may have come before the UPDATE

  await until(async () => test.errors.length > 0 && (await firedSlots(db, good)).length >= 2);

  assertEquals((await firedSlots(db, bad)).length, fired);
});
