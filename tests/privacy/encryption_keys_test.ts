import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DecryptionFailed, Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { keyOf, OLD, ROTATED } from "../support/encryption.ts";

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
