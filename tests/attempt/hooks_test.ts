import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Events, Firefly, task, type TaskRecord } from "../../mod.ts";
import { PACKAGE, testProject } from "../support/project.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { until } from "../support/waiting.ts";

/** What `onFailed` was called with. */
interface Failed {
  task: TaskRecord;
  error: Error;
}

Deno.test("onFailed is called once for a task that failed for good, with its fresh record and what was thrown", async () => {
  const failed: Failed[] = [];
  await using test = await testInstance({ onFailed: (task, error) => void failed.push({ task, error }) });
  const thrown = new RangeError("too far");
  const fail = task({ name: taskName(), maxRetries: 2, retryDelay: 0 }, () => {
    throw thrown;
  });
  const fine = task(taskName(), () => {});
  const [row] = await test.ff.run(() => Promise.all([fail.schedule(), fine.schedule()]));

  await test.drain({ tasks: [fail, fine] });

  assertEquals(failed.length, 1);
  assertEquals([failed[0]!.task.id, failed[0]!.task.status, failed[0]!.task.errors.length], [row.id, "failed", 3]);
  assertEquals(failed[0]!.error, thrown);
});

Deno.test("onFailed is given an Error whatever the handler threw", async () => {
  const failed: Error[] = [];
  await using test = await testInstance({ onFailed: (_, error) => void failed.push(error) });
  const thrown = ["just text", undefined, { name: "Odd", message: "an object" }, null];
  const fail = task(taskName(), (index: number) => {
    throw thrown[index];
  });
  await test.ff.run(() => fail.scheduleMany(thrown.map((_, index) => [index])));

  await test.drain({ tasks: [fail], concurrency: 1 });

  assert(failed.every((error) => error instanceof Error));
  const heard = failed.map(({ name, message }) => `${name}: ${message}`).sort();
  assertEquals(heard, ["Error: just text", "Odd: an object", "object: null", "undefined: undefined"]);
});

Deno.test("onFailed is called for a task that a rescue has failed, by the consumer that rescued it", async () => {
  const failed: Failed[] = [];
  await using test = await testInstance({ onFailed: (task, error) => void failed.push({ task, error }) });
  const work = task(taskName(), () => {});
  const id = await insertTask(test.db, { func_name: work.funcName, crash_count: 4, rescues: 4 });
  const crashed = await startConsumer(test.db, { tasks: [work.funcName] });
  await test.db.sql`DELETE FROM firefly.ready`;
  await test.db.sql`
    INSERT INTO firefly.claim_batch (id, consumer_id, quarantined, ids, lengths, claim_seqs)
    SELECT gen_random_uuid(), ${crashed}, true, array[id], '{1}', array[claim_seq] FROM firefly.task WHERE id = ${id}
  `;
  await expireConsumer(test.db, crashed);

  await using _ = test.ff.consume({ tasks: [work], lease: "1s" });
  await until(() => failed.length > 0);

  assertEquals([failed[0]!.task.id, failed[0]!.task.status], [id, "failed"]);
  assertEquals([failed[0]!.error.name, failed[0]!.error.message], [
    "ConsumerCrashed",
    "Five consumers in a row crashed while they held this task",
  ]);
});

Deno.test("onFailed that throws or rejects becomes an event, and the consumer goes on", async () => {
  for (const how of ["throws", "rejects"]) {
    const mistake = new Error(`it ${how}`);
    await using test = await testInstance({
      onFailed() {
        if (how === "throws") throw mistake;
        return Promise.reject(mistake);
      },
    });
    const heard: Events["hook.error"][] = [];
    test.ff.on("hook.error", (detail) => heard.push(detail));
    const fail = task(taskName(), () => Promise.reject(new Error("no")));
    const fine = task(taskName(), () => "fine");
    const row = await test.ff.run(() => fail.schedule());
    const next = await test.ff.run(() => fine.schedule());

    assertEquals(await test.drain({ tasks: [fail, fine], concurrency: 1 }), { completed: 1, failed: 1 });

    assertEquals(heard, [{ hook: "onFailed", id: row.id, funcName: fail.funcName, error: mistake }]);
    assertEquals((await next.refresh()).status, "completed");
  }
});

Deno.test("onFailed keeps no slot, and a consumer that stops waits for it", async () => {
  const called = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  let ended = false;
  await using test = await testInstance({
    async onFailed() {
      called.resolve();
      await end.promise;
      ended = true;
    },
  });
  const fail = task(taskName(), () => Promise.reject(new Error("no")));
  const fine = task(taskName(), () => "fine");
  const consumer = test.ff.consume({ tasks: [fail, fine], concurrency: 1 });
  await test.ff.run(() => fail.schedule());
  await called.promise;

  assertEquals(await test.ff.run(() => fine.schedule().result({ timeout: "10s" })), "fine");
  assert(!ended);
  const stopped = consumer.stop();
  const waits = new Promise((resolve) => setTimeout(resolve, 300, "waits"));
  assertEquals(await Promise.race([stopped.then(() => "stopped"), waits]), "waits");
  end.resolve();
  await stopped;

  assert(ended);
});

Deno.test("onFailed that never returns does not keep a consumer from stopping for longer than its grace", async () => {
  await using test = await testInstance({ onFailed: () => new Promise(() => {}) });
  const fail = task(taskName(), () => Promise.reject(new Error("no")));
  await test.ff.run(() => fail.schedule());

  const ended = await test.ff.consume({ tasks: [fail], drain: true, shutdownTimeout: "200ms" }).finished;

  assertEquals(ended, { completed: 0, failed: 1 });
});

Deno.test("onFailed schedules on the instance that it belongs to", async () => {
  const failed: TaskRecord[] = [];
  const apology = task(taskName(), (id: number) => id);
  await using test = await testInstance({
    async onFailed({ id }) {
      failed.push(await apology.schedule(id));
    },
  });
  const fail = task(taskName(), () => Promise.reject(new Error("no")));
  const row = await test.ff.run(() => fail.schedule());

  await test.drain({ tasks: [fail] });

  assertEquals((await test.ff.tasks.get(failed[0]!.id)).params, [row.id]);
});

Deno.test("firefly consume takes over the middleware, listeners and onFailed of the instance that task modules configure", async () => {
  await using db = await testDatabase();
  const files = {
    "tasks.ts": `
      import { configure, task } from ${JSON.stringify(PACKAGE)};

      const ff = configure({ onFailed: (task, error) => console.log("onFailed", task.id, error.message) });
      ff.use(async (_, next) => \`<\${await next()}>\`);
      ff.on("completed", ({ id }) => console.log("completed", id));
      export const fine = task("fine", () => "fine");
      export const fail = task("fail", () => { throw new Error("no"); });
    `,
  };
  await using project = await testProject({ database: db.url, files });
  await db.sql`SELECT firefly.schedule('fine'), firefly.schedule('fail')`;

  const { stdout } = await project.run("consume", "--drain");

  assertEquals(stdout.trim().split("\n").sort(), ["completed 1", "onFailed 2 no"]);
  const [row] = await db.sql`SELECT firefly.decode(returned) AS returned FROM firefly.task WHERE id = 1`;
  assertEquals(row!.returned, "<fine>");
});

Deno.test("new Firefly() refuses an onFailed that is no function", () => {
  assertThrows(() => new Firefly({ onFailed: "mail me" as never }), TypeError, `"onFailed" must be a function`);
});
