import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { DecryptionFailed, Fail, Firefly, task } from "../../mod.ts";
import { isEncrypted } from "../../src/privacy/encryption.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { runOn, RUNTIMES } from "../wire/runtimes.ts";
import { keyOf, OLD, ROTATED } from "../support/encryption.ts";

/** Everything that the tables of the schema hold, as text. */
async function dump({ sql }: TestDatabase): Promise<string> {
  const tables = await sql`SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'firefly' AND table_type = 'BASE TABLE'`;
  const rows = await Promise.all(
    tables.map(({ table_name }) => sql.unsafe(`SELECT t::text AS row FROM firefly.${table_name} AS t`)),
  );
  return rows.flat().map(({ row }) => row).join("\n");
}

/** A text as it is and as it looks within Base64, wherever in three bytes it begins, once or twice encoded. */
function looksOf(text: string): string[] {
  const within = (text: string) =>
    [0, 1, 2].map((shift) => {
      const encoded = btoa("x".repeat(shift) + text);
      return encoded.slice(shift === 0 ? 0 : 4, -4);
    });
  const once = within(text);
  return [text, ...once, ...once.flatMap(within)];
}

const MARKER = "marker-of-Ada-Lovelace-0451";

for (const encryption of [undefined, OLD]) {
  const outcome = encryption ? "nowhere in the database" : "in the database without the option";
  Deno.test(`encryption: arguments and results are found ${outcome}`, async () => {
    await using test = await testInstance(encryption ? { encryption } : {});
    const { ff, db } = test;
    const echo = task({ name: taskName(), unique: true, concurrency: { limit: 5 } }, (text: string) => ({ text }));
    const plain = task(taskName(), (text: string) => [text, text]);
    const replaced = task({ name: taskName(), unique: { key: "k", onConflict: "replace" } }, (text: string) => text);

    const record = await ff.run(() => echo.schedule(MARKER));
    await ff.run(() => plain.scheduleMany([[MARKER], [`…${MARKER}`]]));
    await ff.run(() => replaced.schedule(MARKER));
    await ff.run(() => replaced.with({ delay: 0 }).schedule(`${MARKER} again`));
    await ff.run(() => db.sql.begin((tx) => plain.with({ tx, delay: "1h" }).schedule(MARKER)));
    assertEquals(record.params, [MARKER]);
    assertEquals(await test.drain({ tasks: [echo, plain, replaced] }), { completed: 4, failed: 0 });

    assertEquals((await ff.tasks.get(record.id)).returned, { text: MARKER });
    const everything = await dump(db);
    assert(everything.length > 1000);
    assertEquals(looksOf(MARKER).some((look) => everything.includes(look)), encryption === undefined);
  });
}

Deno.test("encryption: swapped ciphertexts fail, and their attempt tells why without running the handler", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff, db } = test;
  let calls = 0;
  const pay = task(taskName(), (_amount: number) => void calls++);
  const refund = task(taskName(), (_amount: number) => void calls++);
  const [a, b] = [await ff.run(() => pay.schedule(1)), await ff.run(() => refund.schedule(2))];

  await db
    .sql`UPDATE firefly.task SET params = (SELECT params FROM firefly.task WHERE id = ${b.id}) WHERE id = ${a.id}`;
  assertEquals(await test.drain({ tasks: [pay, refund] }), { completed: 1, failed: 1 });

  const failed = await ff.tasks.get(a.id);
  assertEquals([failed.status, failed.error?.name, calls], ["failed", "DecryptionFailed", 1]);
  assertThrows(() => failed.params, DecryptionFailed);
  // What shows the record goes on.
  assertMatch(JSON.stringify(failed.toJSON()), /Cannot decrypt/);
});

Deno.test("encryption: duplicates are found by a digest that nobody can guess, until the key changes", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff, db } = test;
  const sync = task({ name: taskName(), unique: true }, (pin: number) => pin);
  const [first, duplicate] = [await ff.run(() => sync.schedule(1234)), await ff.run(() => sync.schedule(1234))];
  await using plain = new Firefly({ database: db.url });
  const guess = await plain.run(() => sync.schedule(1234));
  await using rotated = new Firefly({ database: db.url, encryption: ROTATED });
  const after = await rotated.run(() => sync.schedule(1234));

  assertEquals([duplicate.id, duplicate.inserted, duplicate.params], [first.id, false, [1234]]);
  const key = async (id: number) => (await recordOf(db, id)).unique_key;
  assertNotEquals(await key(first.id), await key(guess.id));
  assertEquals([guess.inserted, after.inserted], [true, true]);
});

Deno.test("encryption: replaced arguments reach a duplicate in another queue, and a duplicate within the same call", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff } = test;
  const save = task(
    { name: taskName(), unique: { key: (id: number) => `draft ${id}`, onConflict: "replace" } },
    (_id: number, text: string) => text,
  );
  const draft = await ff.run(() => save.with({ delay: "1h" }).schedule(1, "H"));
  const replaced = await ff.run(() => save.with({ queue: "slow" }).schedule(1, "He"));
  const both = await ff.run(() => save.scheduleMany([[2, "a"], [2, "b"]]));

  assertEquals([replaced.id, replaced.queue, replaced.params], [draft.id, "default", [1, "He"]]);
  assertEquals(both.map(({ params }) => params[1]), ["b", "b"]);
  await test.drain({ tasks: [save] });
  assertEquals((await draft.refresh()).returned, "He");
  assertEquals((await both[0]!.refresh()).returned, "b");
});

Deno.test("encryption: what SQL schedules runs as ever, and its result is encrypted", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff, db } = test;
  const name = taskName();
  const add = task(name, (a: number, b: number) => a + b);
  const [row] = await db.sql`SELECT firefly.schedule(${name}, '[1, 3]') AS id`;
  await test.drain({ tasks: [add] });

  const record = await ff.tasks.get(Number(row!.id));

  assertEquals([record.params, record.returned], [[1, 3], 4]);
  assert(isEncrypted((await recordOf(db, record.id)).returned as string));
});

Deno.test("encryption: SQL shows encrypted values with their key, and acts on their tasks as on others", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff, db } = test;
  const fail = task(taskName(), (_user: { name: string }) => {
    throw new Fail("no");
  });
  const record = await ff.run(() => fail.schedule({ name: "ada" }));
  const [shown] = await db.sql`
    SELECT params ->> '$' AS tag, params ->> 'key' AS key,
      (SELECT firefly.decode(task.params) FROM firefly.task) = params AS same
    FROM firefly.task_json
  `;
  assertEquals({ ...shown }, { tag: "Encrypted", key: "old", same: true });
  assertEquals((await ff.tasks.list({ params: [{ name: "ada" }] })).items, []);
  assertEquals((await ff.tasks.list({ funcName: record.funcName })).items[0]!.params, [{ name: "ada" }]);

  const seen: string[] = [];
  const watching = (async () => {
    for await (const now of record.watch()) seen.push(`${now.status} ${JSON.stringify(now.params)}`);
  })();
  await until(() => seen.length > 0);
  await test.drain({ tasks: [fail] });
  await watching;
  assertEquals([seen[0], seen.at(-1)], ['created [{"name":"ada"}]', 'failed [{"name":"ada"}]']);
  assertEquals((await (await record.refresh()).retry()).params, [{ name: "ada" }]);
  const [cancelled] = await db.sql`SELECT firefly.cancel(${record.id}) AS done`;
  assertEquals(cancelled!.done, true);
  await assertRejects(() => record.result(), Error, "was cancelled");
});

Deno.test("encryption: the command line schedules, runs and shows with the keys of firefly.config.ts", async () => {
  const config = (keys: string) => `
    import { defineConfig } from ${JSON.stringify(PACKAGE)};
    export default defineConfig({ tasks: "jobs.ts", ${keys} });
  `;
  const jobs = `
    import { task } from ${JSON.stringify(PACKAGE)};
    export const greet = task("greet", (user: { name: string }) => "Hello " + user.name);
  `;
  await using test = await testInstance();
  const { db } = test;
  const files = {
    "firefly.config.ts": config(`encryption: { keys: { k1: process.env.TASKS_KEY! }, current: "k1" }`),
    "bare.config.ts": config(""),
    "jobs.ts": jobs,
  };
  await using project = await testProject({ files, database: db.url, env: { TASKS_KEY: keyOf(7) } });

  const scheduled = await project.run("schedule", "greet", `[{"name":"${MARKER}"}]`, "--json");
  assertEquals(jsonLines(scheduled.stdout)[0].params, [{ name: MARKER }], scheduled.stderr);
  const bare = await project.run("consume", "--drain", "--config", "bare.config.ts");
  assertMatch(bare.stderr, /its key \\"k1\\" is not among/);
  await db.sql`UPDATE firefly.waiting SET not_before = now()`;
  await db.sql`UPDATE firefly.task SET not_before = now()`;
  const consumed = await project.run("consume", "--max-tasks", "1");
  assertEquals(consumed.code, 0, consumed.stderr);
  assert(!(bare.stderr + consumed.stderr).includes(MARKER));
  const everything = await dump(db);
  assertEquals(looksOf(MARKER).filter((look) => everything.includes(look)), []);

  const [shown] = jsonLines((await project.run("show", "1", "--json")).stdout);
  assertEquals([shown.status, shown.returned], ["completed", `Hello ${MARKER}`]);
  const [unread] = jsonLines((await project.run("show", "1", "--json", "--config", "bare.config.ts")).stdout);
  assertMatch(unread.returned.error, /its key "k1" is not among/);
});

for (const runtime of RUNTIMES) {
  Deno.test(`encryption: ${runtime} reads what Deno encrypted, and encrypts`, async () => {
    const { success, stderr } = await runOn(runtime, new URL("../support/encryption_runtime.ts", import.meta.url));
    assert(success, stderr);
  });
}
