import { assert, assertEquals } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { until } from "../support/waiting.ts";
import { define, EVERY_SECOND, firedSlots, startTimer } from "../support/cron_scheduler.ts";

/** Makes it look as if nothing had happened to the cron for so many seconds. */
async function age(db: TestDatabase, name: string, seconds: number): Promise<void> {
  await db.sql`UPDATE firefly.cron SET since = since - make_interval(secs => ${seconds}) WHERE name = ${name}`;
  await db.sql`UPDATE firefly.cron_slot SET slot = slot - make_interval(secs => ${seconds}) WHERE cron = ${name}`;
  await db
    .sql`UPDATE firefly.task SET not_before = not_before - make_interval(secs => ${seconds}) WHERE func_name = ${name}`;
}

Deno.test("the first deploy fires no earlier slots", async () => {
  await using db = await testDatabase();
  const name = taskName();
  const hourly = define({ name, cron: "0 * * * *", missed: "all" });
  await using test = await startTimer(db, [
    hourly,
    define({ name: `${name}.tick`, cron: EVERY_SECOND, missed: "all" }),
  ]);

  await until(async () => (await firedSlots(db, `${name}.tick`)).length >= 2);

  const [row] = await db
    .sql`SELECT min(slot) > (SELECT since FROM firefly.cron LIMIT 1) AS later FROM firefly.cron_slot`;
  assertEquals([row!.later, test.errors], [true, []]);
});

for (const [missed, counts] of [["skip", [0]], ["one", [1]], ["all", [71, 72]]] as const) {
  Deno.test(`what was missed while no consumer ran: ${missed}`, async () => {
    await using db = await testDatabase();
    const name = taskName();
    // Half an hour from any slot, so that none of them is less than a minute late.
    const [{ minute } = { minute: 0 }] = await db
      .sql`SELECT extract(minute FROM now() + interval '30 minutes')::int AS minute`;
    const definition = define({ name, cron: `${minute} * * * *`, missed });
    await (await startTimer(db, [definition])).timer.end();
    await age(db, name, 71.5 * 3600);

    await using test = await startTimer(db, [definition]);
    await using other = await startTimer(db, [definition]);
    const { good } = test.turns;
    if (missed === "skip") {
      await using tick = await startTimer(db, [definition, define({ name: `${name}.tick`, cron: EVERY_SECOND })]);
      await until(async () => (await firedSlots(db, `${name}.tick`)).length >= 1);
      assertEquals(tick.errors, []);
    } else await until(() => test.turns.good > good && other.turns.good > 1);

    const slots = await firedSlots(db, name);
    assert((counts as readonly number[]).includes(slots.length), `${slots.length} slots were made up for`);
    const [{ last } = { last: false }] = await db.sql`
      SELECT COALESCE(max(slot) > now() - interval '1 hour', true) AS last FROM firefly.cron_slot WHERE cron = ${name}
    `;
    assertEquals([last, test.errors, other.errors], [true, [], []]);
  });
}

Deno.test("at most the last thousand missed slots are fired afterwards", async () => {
  await using db = await testDatabase();
  const name = taskName();
  const definition = define({ name, cron: EVERY_SECOND, missed: "all" });
  await (await startTimer(db, [definition])).timer.end();
  await age(db, name, 7200);

  await using test = await startTimer(db, [definition]);
  await until(async () => (await firedSlots(db, name)).length > 0);

  const slots = await firedSlots(db, name);
  assert(slots.length >= 1055 && slots.length <= 1070, `${slots.length} slots were made up for`);
  const span = slots.at(-1)!.getTime() - slots[0]!.getTime();
  assertEquals([span, test.errors], [(slots.length - 1) * 1000, []]);
});

for (const hours of [-2, 2]) {
  Deno.test(`a machine whose clock is ${hours} hours off fires by the database's`, async () => {
    await using db = await testDatabase();
    const name = taskName();
    const daily = define({ name: `${name}.hourly`, cron: "30 */2 * * *", missed: "all" });
    const RealDate = Date;
    class OffDate extends RealDate {
      constructor(...args: [] | [number]) {
        super(...(args.length ? args : [OffDate.now()]) as [number]);
      }
      static override now(): number {
        return RealDate.now() + hours * 3_600_000;
      }
    }
    try {
      globalThis.Date = OffDate as DateConstructor;
      await using test = await startTimer(db, [define({ name, cron: EVERY_SECOND }), daily]);
      await until(async () => (await firedSlots(db, name)).length >= 4);
      assertEquals(test.errors, []);
    } finally {
      globalThis.Date = RealDate;
    }

    const [row] = await db.sql`SELECT bool_and(fired - slot BETWEEN '0' AND '2 s') AS punctual FROM firefly.cron_slot`;
    assertEquals(row!.punctual, true);
    assertEquals((await firedSlots(db, daily.name)).length <= 1, true);
  });
}
