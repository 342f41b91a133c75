import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { DecryptionFailed, Fail, Firefly, task } from "../../mod.ts";
import { decodeParams, type Encryption, isEncrypted, KeyRing, type ValuePlace } from "../../src/privacy/encryption.ts";
import { encodePlain } from "../support/encode.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { runOn, RUNTIMES } from "../wire/runtimes.ts";

/** A key of 32 bytes, all the same. */
const keyOf = (byte: number) => new Uint8Array(32).fill(byte).toBase64();
const OLD: Encryption = { keys: { old: keyOf(1) }, current: "old" };
const ROTATED: Encryption = { keys: { old: keyOf(1), new: keyOf(2) }, current: "new" };

const PLACE: ValuePlace = { funcName: "mail.send", queue: "default", column: "params" };
const ring = (encryption: Encryption) => new KeyRing(encryption, "make an instance");

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
    await ff.run(() => plain.with({ tx: db.sql, delay: "1h" }).schedule(MARKER));
    assertEquals(record.params, [MARKER]);
    assertEquals(await test.drain({ tasks: [echo, plain, replaced] }), { completed: 4, failed: 0 });

    assertEquals((await ff.tasks.get(record.id)).returned, { text: MARKER });
    const everything = await dump(db);
    assert(everything.length > 1000);
    assertEquals(looksOf(MARKER).some((look) => everything.includes(look)), encryption === undefined);
  });
}

Deno.test("encryption: each value has an IV of its own", async () => {
  const keys = ring(OLD);
  const text = encodePlain([1]);
  const encrypted = await Promise.all(Array.from({ length: 100 }, () => keys.encrypt(text, PLACE)));

  assertEquals(new Set(encrypted.map((one) => JSON.parse(atob(one)).v.slice(0, 16))).size, 100);
});

const otherPlaces: Record<string, Partial<ValuePlace>> = {
  "another task": { funcName: "mail.list" },
  "another queue": { queue: "slow" },
  "the other column": { column: "returned" },
};

for (const [what, other] of Object.entries(otherPlaces)) {
  Deno.test(`KeyRing.decrypt() refuses what was encrypted for ${what}`, async () => {
    const keys = ring(OLD);
    const encrypted = await keys.encrypt(encodePlain(["a"]), { ...PLACE, ...other });

    const decrypted = await keys.decrypt(encrypted, PLACE);

    const error = assertThrows(() => decodeParams(decrypted, keys), DecryptionFailed, 'with key "old"');
    assertEquals([error.keyId, error.isKeyMissing], ["old", false]);
    assertEquals(decodeParams(await keys.decrypt(encrypted, { ...PLACE, ...other }), keys), ["a"]);
  });
}

Deno.test("KeyRing.decrypt() refuses a value of which any byte was changed, and one that claims another key or any queue", async () => {
  const keys = ring(ROTATED);
  const envelope = JSON.parse(atob(await keys.encrypt(encodePlain(["a"]), PLACE)));
  const bytes = Uint8Array.fromBase64(envelope.v);
  const forged = [
    ...Array.from(bytes, (byte, i) => ({ ...envelope, v: bytes.with(i, byte ^ 1).toBase64() })),
    { ...envelope, v: bytes.subarray(0, -1).toBase64() },
    { ...envelope, v: "" },
    { ...envelope, key: "old" },
    { $: envelope.$, key: envelope.key, anyQueue: true, v: envelope.v },
  ];

  for (const one of forged) {
    const text = btoa(JSON.stringify(one));
    assert(isEncrypted(text));
    const decrypted = await keys.decrypt(text, PLACE);
    assertThrows(() => decodeParams(decrypted, keys), DecryptionFailed);
  }
  assertThrows(() => decodeParams(btoa('{"$":"Encrypted","key":"old"'), keys), DecryptionFailed, "damaged");
});

Deno.test("no plain value is taken for an encrypted one", async () => {
  const [plain] = [{ $: "Encrypted", key: "old", v: "AAAA" }];
  const text = encodePlain(plain);

  assertEquals(isEncrypted(text), false);
  assertEquals(decodeParams(await ring(OLD).decrypt(text, PLACE), ring(OLD)), plain);
});

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

Deno.test("encryption: old rows are read and run for as long as their key is in the ring", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { db } = test;
  const echo = task(taskName(), (text: string) => text);
  const old = await test.ff.run(() => echo.schedule("from before"));
  const done = await test.ff.run(() => echo.schedule("done before"));
  await test.drain({ tasks: [echo], maxTasks: 1 });

  await using rotated = new Firefly({ database: db.url, encryption: ROTATED });
  const fresh = await rotated.run(() => echo.schedule("from after"));
  await rotated.consume({ tasks: [echo], drain: true }).finished;

  const records = await rotated.tasks.list();
  assertEquals(records.items.map(({ returned }) => returned), ["from after", "done before", "from before"]);
  const keyIds = await db.sql`SELECT params ->> 'key' AS p, returned ->> 'key' AS r FROM firefly.task_json ORDER BY id`;
  assertEquals(keyIds.map(({ p, r }) => [p, r]), [["old", "old"], ["old", "new"], ["new", "new"]]);
  assertEquals([old.id, done.id, fresh.id], [1, 2, 3]);

  await using without = new Firefly({ database: db.url, encryption: { keys: { new: keyOf(2) }, current: "new" } });
  const unread = await without.tasks.get(old.id);
  assertThrows(() => unread.params, DecryptionFailed, 'its key "old" is not among "encryption.keys"');
});

Deno.test("encryption: a consumer without the key puts tasks off uncounted, and one with it runs them", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff, db } = test;
  const echo = task(
    { name: taskName(), concurrency: { limit: 1, key: (text: string) => text } },
    (text: string) => text,
  );
  const record = await ff.run(() => echo.schedule("a"));
  // As if it came without its key: that of the limit has to be computed from the arguments.
  await db.sql`UPDATE firefly.task SET concurrency_key = NULL WHERE id = ${record.id}`;

  await using bare = new Firefly({ database: db.url });
  assertEquals(await bare.consume({ tasks: [echo], drain: true }).finished, { completed: 0, failed: 0 });
  const put = await bare.tasks.get(record.id);
  assertEquals([put.status, put.retryAttempts, put.error?.name], ["created", 0, "DecryptionFailed"]);
  assertMatch(put.error!.message, /key "old"/);
  assertEquals((await bare.tasks.explain(record.id)).reasons[0]!.reason, "not_due");

  await using _consumer = ff.consume({ tasks: [echo] });
  assertEquals(await record.result({ timeout: "30s" }), "a");
});

Deno.test("encryption: a handler that lacks the key of another record fails as of any error", async () => {
  await using test = await testInstance({ encryption: OLD });
  const { ff, db } = test;
  const echo = task(taskName(), (text: string) => text);
  const read = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async (id: number) => {
    return (await echo.get(id)).params;
  });
  const { id } = await ff.run(() => echo.schedule("a"));
  await using bare = new Firefly({ database: db.url });
  const reading = await bare.run(() => read.schedule(id));
  await bare.consume({ tasks: [read], drain: true }).finished;

  const failed = await bare.tasks.get(reading.id);
  assertEquals([failed.status, failed.retryAttempts, failed.error?.name], ["failed", 1, "DecryptionFailed"]);
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

const generate = (length: number, name = "AES-GCM", usages: KeyUsage[] = ["encrypt", "decrypt"]) =>
  crypto.subtle.generateKey({ name, length }, false, usages) as Promise<CryptoKey>;

Deno.test("encryption: a CryptoKey that keeps its bytes to itself serves", async () => {
  await using test = await testInstance({ encryption: { keys: { k: await generate(256) }, current: "k" } });
  const echo = task({ name: taskName(), unique: true }, (text: string) => text);
  const record = await test.ff.run(() => echo.schedule("a"));
  await test.drain({ tasks: [echo] });

  assertEquals((await record.refresh()).returned, "a");
});

const secret = "c2VjcmV0LWtleS1vZi1zb21lYm9keQ==";
// deno-lint-ignore no-explicit-any
const mistakes: [what: string, encryption: () => any, message: RegExp][] = [
  ["no keys", () => ({ current: "a" }), /"encryption.keys" must be an object/],
  [
    "a key that is too short",
    () => ({ keys: { a: secret }, current: "a" }),
    /Base64 of 32 bytes: .* that of 22 bytes$/,
  ],
  ["a key that is not Base64", () => ({ keys: { a: "hunter2!" }, current: "a" }), /8 characters that is not Base64$/],
  ["a key that is missing", () => ({ keys: { a: undefined }, current: "a" }), /or a CryptoKey: .* undefined$/],
  [
    "a current key that is none",
    () => ({ ...OLD, current: "new" }),
    /one of its keys \(old\): current value is "new"$/,
  ],
  ["an odd id", () => ({ keys: { "a b": keyOf(1) }, current: "a b" }), /the id of a key .* current value is "a b"$/],
  ["an option that is none", () => ({ ...OLD, key: "x" }), /"key"/],
];

for (const [what, encryption, message] of mistakes) {
  Deno.test(`new Firefly() refuses ${what}, without showing it`, () => {
    const error = assertThrows(() => new Firefly({ encryption: encryption() }), Error);
    assertMatch(error.message, message);
    assert(!/hunter2|c2Vjcm/.test(error.message));
  });
}

Deno.test("new Firefly() refuses a CryptoKey of 128 bits, of another algorithm or for one direction", async () => {
  const keys = [await generate(128), await generate(256, "AES-CBC"), await generate(256, "AES-GCM", ["decrypt"])];
  for (const k of keys) {
    assertThrows(() => new Firefly({ encryption: { keys: { k }, current: "k" } }), RangeError, "AES-GCM of 256 bits");
  }
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
