import { assertEquals, assertStringIncludes } from "@std/assert";
import { readLateDependencies } from "../../src/store/dependencies.ts";
import { Target } from "../../src/doctor/target.ts";
import { TASK_CHECKS } from "../../src/doctor/task_checks.ts";
import { testDatabase } from "../support/database.ts";
import { end, releaseAll, scheduleGraph, statesOf } from "../support/dependencies.ts";

Deno.test("readLateDependencies() finds ends that no consumer has told, and doctor says what to do", async () => {
  await using db = await testDatabase();
  const [a, b, c] = await scheduleGraph(db.store, [[], [{ ref: 0 }], [{ ref: 1 }]]);
  await end(db.sql, [a!]);
  assertEquals(await readLateDependencies(db.store), { untold: 0, miscounted: [] });
  await db.sql`UPDATE firefly.task SET completed = now() - interval '2 minutes' WHERE id = ${a!}`;
  await db.sql`UPDATE firefly.dependency SET status = 'completed' WHERE task_id = ${c!}`;

  assertEquals(await readLateDependencies(db.store), { untold: 1, miscounted: [c!] });

  const target = new Target({ settings: db.settings, schema: "firefly", names: [] });
  const check = TASK_CHECKS.find(({ name }) => name === "dependencies")!;
  const { verdict, value, advice } = await check.ask(target);
  assertEquals([verdict, value], ["warning", `1 task may never run, as what they wait for was edited by hand: ${c}`]);
  assertStringIncludes(advice[0]!, "firefly reschedule");
  await db.sql`SELECT firefly.reschedule(${c!}, priority => 0)`;
  assertStringIncludes((await check.ask(target)).value, "1 task ended more than a minute ago");
  await releaseAll(db.store);
  assertEquals((await check.ask(target)).verdict, "ok");
  assertEquals(await statesOf(db, [b!, c!]), ["ready", "ready"]);
  target.end();
});
