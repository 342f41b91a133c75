import { setTimeout as sleep } from "node:timers/promises";
import { assert, assertEquals } from "@std/assert";
import { current, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";

/**
 * The eighteen defects of django-firefly-tasks, in the order of the design, each with the proof that it is not repeated.
 * The others, from the eleventh on, are in `consumer_defects_test.ts`.
 */

Deno.test("defect 1: max_retries = N gives N retries after the first attempt", async () => {
  await using test = await testInstance();
  for (const maxRetries of [0, 1, 2]) {
    let attempts = 0;
    const fail = task({ name: taskName(), maxRetries, retryDelay: 0 }, () => {
      attempts++;
      throw new Error("no");
    });
    await test.ff.run(() => fail.schedule());
    await test.drain();
    assertEquals(attempts, maxRetries + 1);
  }
});

Deno.test("defect 2: falsy results stay what they are", async () => {
  await using test = await testInstance();
  const values = [0, "", false, [], null, NaN, -0, 0n];
  const give = task(taskName(), (i: number) => values[i]);
  const rows = await test.ff.run(() => give.scheduleMany(values.map((_, i) => [i])));
  await test.drain();

  for (const [i, row] of rows.entries()) {
    const done = await row.refresh();
    assert(done.status === "completed");
    assert(Object.is(done.returned, values[i]) || JSON.stringify(done.returned) === "[]", `value ${i}`);
  }
});

Deno.test("defect 3: a result that cannot be stored fails the attempt and rolls its effects back", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE effect (n int)`;
  const bad = task(taskName(), async () => {
    await current().sql`INSERT INTO effect VALUES (1)`;
    return { deep: [() => 1] } as unknown as string;
  });
  const row = await test.ff.run(() => bad.schedule());
  assertEquals(await test.drain(), { completed: 0, failed: 1 });

  const failed = await row.refresh();
  assert(failed.status === "failed");
  assertEquals(failed.error.name, "DataCloneError");
  assert(failed.error.message.includes("$.deep[0]"), failed.error.message);
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("defect 4: an error of the database inside the handler fails the attempt, swallowed or not", async () => {
  await using test = await testInstance();
  const thrown = task(taskName(), async () => void await current().sql`SELECT 1 / 0`);
  const swallowed = task(taskName(), async () => {
    await current().sql`SELECT 1 / 0`.catch(() => {});
    return "fine";
  });
  const rows = await test.ff.run(() => Promise.all([thrown.schedule(), swallowed.schedule()]));
  assertEquals(await test.drain(), { completed: 0, failed: 2 });

  for (const row of rows) {
    const { error } = await row.refresh();
    assert(`${error!.message} ${error!.cause}`.includes("division by zero"), error!.message);
  }
});

Deno.test("defect 5: an unknown task and bad params block nothing", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "done");
  const unknown = await insertTask(test.db, { func_name: "gone.function", priority: 9 });
  const broken = await insertTask(test.db, { func_name: work.funcName, params: "not base64", priority: 9 });
  const row = await test.ff.run(() => work.schedule());

  assertEquals(await test.drain(), { completed: 1, failed: 1 });

  assertEquals((await row.refresh()).returned, "done");
  assertEquals((await recordOf(test.db, unknown)).status, "created");
  const failed = await test.ff.tasks.get(broken);
  assert(failed.status === "failed");
  assertEquals(failed.error.name, "FireflyFormatError");
});

Deno.test("defect 6: lowering max_retries below the attempts ends the task instead of looping", async () => {
  await using test = await testInstance();
  let attempts = 0;
  const fail = task({ name: taskName(), maxRetries: 9, retryDelay: 0 }, () => {
    attempts++;
    throw new Error("no");
  });
  const row = await test.ff.run(() => fail.schedule());
  await test.db.sql`UPDATE firefly.task SET retry_attempts = 5, max_retries = 2 WHERE id = ${row.id}`;

  assertEquals(await test.drain(), { completed: 0, failed: 1 });
  assertEquals(attempts, 1);
});

Deno.test("defect 7: the name is given and not the path of the code, and old names still run", async () => {
  await using test = await testInstance();
  const old = taskName();
  const renamed = task({ name: taskName(), aliases: [old] }, (n: number) => n);
  const id = await insertTask(test.db, { func_name: old, params: btoa("[7]") });

  await test.drain();

  assertEquals((await test.ff.run(() => renamed.get(id))).returned, 7);
});

Deno.test("defect 8: options of the call are never taken from the handler's arguments", async () => {
  await using test = await testInstance();
  const echo = task(taskName(), (options: { eta: string; delay: number; queue: string }) => options);
  const argument = { eta: "tomorrow", delay: 5, queue: "elsewhere" };
  const row = await test.ff.run(() => echo.with({ priority: 1 }).schedule(argument));
  await test.drain();

  assertEquals((await row.refresh()).returned, argument);
});

Deno.test("defect 9: a due deferred task runs in its turn while the queue is kept full", async () => {
  await using test = await testInstance();
  const filler = task(taskName(), () => sleep(1));
  const due = task(taskName(), () => Date.now());
  const readyTasks = async () => (await placesOf(test.db)).ready;
  await test.ff.run(async () => {
    await filler.scheduleMany(Array.from({ length: 2000 }, () => []));
    const row = await due.with({ delay: "500ms" }).schedule();
    await using _ = test.ff.consume({ concurrency: 2 });
    let filling = true;
    const fill = (async () => {
      // Two at a time take a millisecond each: the queue never runs dry.
      for (; filling; await sleep(5)) {
        if (await readyTasks() < 1000) await filler.scheduleMany(Array.from({ length: 1000 }, () => []));
      }
    })();
    const ranAt = await row.result({ timeout: "20s" });
    const ready = await readyTasks();
    filling = false;
    await fill;

    assert(ready > 0, "the queue was full when the deferred task ran");
    const [younger] = await test.db.sql`
      SELECT count(*)::int AS n FROM firefly.task
      WHERE func_name = ${filler.funcName} AND status = 'completed' AND started < to_timestamp(${ranAt / 1000})
        AND created > (SELECT not_before + interval '1 second' FROM firefly.task WHERE id = ${row.id})
    `;
    assertEquals(younger!.n, 0, "tasks a second younger went first");
  });
});

Deno.test("defect 10: a failed task that is scheduled again runs now, whatever not_before it had", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "again");
  const row = await test.ff.run(() => work.schedule());
  await test.db.sql`DELETE FROM firefly.ready`;
  await test.db
    .sql`UPDATE firefly.task SET status = 'failed', not_before = now() + interval '1 day' WHERE id = ${row.id}`;

  await row.retry();
  await test.drain();

  assertEquals((await row.refresh()).returned, "again");
});
