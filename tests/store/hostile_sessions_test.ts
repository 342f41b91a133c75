import { assert, assertEquals } from "@std/assert";
import postgres from "postgres";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { HOSTILE } from "../support/session_settings.ts";

const ENCODED =
  "W3siJCI6IkRhdGUiLCJ2IjoiMjAyNi0wMy0wNFQwNTowNjowNy4wODlaIn0seyIkIjoiYmlnaW50IiwidiI6IjEyMyJ9LCJhXFxiIl0=";

/** Calls the public functions, and fires the triggers, from a session with `settings`; returns what came of it. */
async function callAll(db: TestDatabase, settings: Readonly<Record<string, string>>): Promise<unknown[]> {
  const sql = postgres(db.url, { max: 1, onnotice() {}, fetch_types: false, connection: settings });
  const one = async (text: string) => Object.values((await sql.unsafe(text))[0]!)[0];
  try {
    const plain = await one(`INSERT INTO firefly.task (func_name) VALUES ('plain') RETURNING id`);
    const many = await sql.unsafe(`
      INSERT INTO firefly.task (func_name, queue, not_before, unique_key, concurrency_key)
      VALUES ('a', 'x', now() + interval '1 hour', 'k', 'c'), ('b', 'y', now(), NULL, NULL) RETURNING id
    `);
    const id = await one(`SELECT firefly.schedule('f', E'["a\\\\u005cb"]', retry_delay => 45.625, timeout => 1e-3)`);
    const unique = `SELECT firefly.schedule('f', '[1]', 'q', '2099-03-04 05:06:07.089+00', retry_delay => 45.625,
      timeout => 31557600000, unique_key => 'k', unique_for => 0.1, on_conflict => `;
    const first = await one(`${unique}'keep')`);
    const refused = await one(`${unique}'error')`).catch((error) => error.code);
    const results = [
      await one(`${unique}'keep')`) === first,
      await one(`${unique}'replace')`) === first,
      refused,
      await one(`SELECT firefly.cancel(${id})`),
      await one(`SELECT firefly.retry(${id})`),
      await one(`SELECT firefly.cancel(${first})`),
      await one(`SELECT firefly.retry(${first})`),
      await one(`SELECT firefly.pause('q', reason => 'r')`),
      await one(`SELECT count(*)::int FROM firefly.explain(${first}) WHERE reason IN ('paused', 'not_due')`),
      await one(`SELECT firefly.resume('q')`),
      await one(`SELECT firefly.decode('${ENCODED}')::text`),
      await one(`SELECT params::text FROM firefly.task_json WHERE id = ${id}`),
      await one(`SELECT firefly.encode('["x"]')`),
      await one(`SELECT count(*)::int FROM firefly.task_record WHERE id = ${plain}`),
    ];
    await sql.unsafe(`DELETE FROM firefly.task WHERE id = ${many[0]!.id}`);
    await sql.unsafe(`UPDATE firefly.task SET status = 'completed', completed = now() WHERE id = ${first}`);
    const [stored] = await db.sql`
      SELECT (SELECT count(*)::int FROM firefly.ready) AS ready, (SELECT count(*)::int FROM firefly.waiting) AS waiting,
        (SELECT count(*)::int FROM firefly.unique_key) AS keys, retry_delay, timeout, unique_for,
        extract(epoch FROM created)::int > 0 AS created
      FROM firefly.task WHERE id = ${first as string}
    `;
    return [...results, Object.entries(stored!)];
  } finally {
    await sql.end({ timeout: 1 });
    await db.sql`TRUNCATE firefly.task, firefly.ready, firefly.waiting, firefly.unique_key`;
  }
}

Deno.test("the functions and triggers of the schema do the same in every session, whatever its settings", async () => {
  await using db = await testDatabase();
  const expected = await callAll(db, {});
  assertEquals(expected.slice(0, 4), [true, true, "23505", true]);
  for (const settings of HOSTILE) {
    // A function that fails on purpose ends such a session.
    const { exit_on_error: _, ...given } = settings;
    assertEquals(await callAll(db, given), expected, JSON.stringify(settings));
  }
});

Deno.test("a task that a session with a low extra_float_digits scheduled has the delay that was given", async () => {
  await using db = await testDatabase();
  await callAll(db, { extra_float_digits: "-15" });
  const sql = postgres(db.url, { max: 1, connection: { extra_float_digits: "-15" } });
  await sql`SELECT firefly.schedule('test.task', retry_delay => 45.625, unique_key => 'k')`;
  await sql.end();

  const task = await claimOne(db, await startConsumer(db));

  assert(task);
  assertEquals(task.retryDelay, 45.625);
});
