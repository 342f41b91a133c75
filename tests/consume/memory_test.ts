/**
 * A long drain does not make a consumer grow: 100,000 tasks here, a million by
 * `TASKS=1000000 deno test -A tests/consume/memory_test.ts`.
 */
import { assertEquals, assertLess } from "@std/assert";
import { testDatabase } from "../support/database.ts";

const SCRIPT = new URL("../support/memory_drain.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const TASKS = Number(Deno.env.get("TASKS") ?? 100_000);

/** Drains tasks with arguments of so many characters in a process of its own. */
async function drain(count: number, characters: number) {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'memory.noop', firefly.encode(jsonb_build_array(repeat('x', ${characters}))) FROM generate_series(1, ${count})
  `;
  const args = ["run", "-A", "--no-check", "--v8-flags=--expose-gc", "--config", CONFIG, SCRIPT, db.url, String(count)];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, stdin: "null" }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { done, third, end } = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(done, count);
  return { third, end };
}

Deno.test(`consume() is no larger after ${TASKS} tasks than after a third of them`, async () => {
  const { third, end } = await drain(TASKS, 20);

  // After a third it holds what it has claimed and not settled yet; at the end, nothing.
  assertLess(end.heap, third.heap + 6e6);
  assertLess(end.external, third.external + 6e6);
});

Deno.test("consume() holds no more of long arguments than of short ones", async () => {
  const [short, long] = [await drain(2_000, 20), await drain(2_000, 30_000)];

  // All of them would be 80 MB. Texts are on the heap; outside of it are what the driver reads into, and what is not yet
  // given back of that: as much at the end, when nothing is held.
  assertLess(long.third.heap, short.third.heap + 5e6);
  assertLess(long.third.external, long.end.external + 20e6);
});
