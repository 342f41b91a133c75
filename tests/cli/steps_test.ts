import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { current, signal, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { jsonLines, testProject } from "../support/project.ts";

Deno.test("steps and show show the steps of a task, for people and as JSON, redacted", async () => {
  await using t = await testInstance();
  const order = task(taskName(), async () => {
    const { step } = current();
    await step({ name: "charge", key: "k" }, () => ({ id: 7, password: "s3cr3t" }));
    await step("ship", () => Promise.reject(new Error("no\u001b[31m van"))).catch(() => {});
    await step("book", () => {});
  });
  const plain = task(taskName(), () => {});
  const [record, other] = await t.ff.run(() => Promise.all([order.schedule(), plain.schedule()]));
  await t.drain({ tasks: [order, plain] });
  await using project = await testProject({ database: t.db.url });
  const { id } = record;

  const json = jsonLines((await project.run("steps", `${id}`)).stdout);
  assertEquals(json.map(({ name, key, status, seq, returned }) => [name, key, status, seq, returned]), [
    ["charge", "k", "completed", 1, { id: 7, password: "[redacted]" }],
    ["ship", "", "failed", 2, null],
    ["book", "", "completed", 3, null],
  ]);
  assertStringIncludes(json[1].error.message, "van");

  const table = (await project.run("steps", `${id}`, "--table")).stdout;
  assertMatch(table, /^STEP +STATUS +ATTEMPT +TOOK +ENDED +RESULT$/m);
  assertMatch(table, /^charge k +completed +1 .*\{ id: 7, password: '\[redacted\]' \}/m);
  assert(!table.includes("\u001b[31m"), table);

  const shown = (await project.run("show", `${id}`, "--table")).stdout;
  assertMatch(shown, /\nSteps\n {2}STEP .*\n {2}charge k /);
  assert(!(await project.run("show", `${other.id}`, "--table")).stdout.includes("Steps"));
  const none = await project.run("steps", `${other.id}`, "--table");
  assertEquals([none.code, none.stdout], [0, ""]);
  assertStringIncludes(none.stderr, `Task ${other.id} has run no steps`);
  assertEquals((await project.run("steps", "99")).code, 4);
  assertEquals((await project.run("steps")).code, 2);
});

Deno.test("steps and show show what a task waits for, since when and until, its retries and what it called", async () => {
  await using t = await testInstance();
  const print = task(taskName(), (label: string) => label);
  const approved = signal<string>("approved");
  const order = task(taskName(), async () => {
    const { step } = current();
    await step.sleep(0);
    await step.callMany(print, [["a"], ["b"]]);
    await Promise.all([
      step.sleep("pause", "2h"),
      step.waitFor(approved, { timeout: "7d" }),
      step.call(print.with({ delay: "1d" }), "c"),
      step({ name: "charge", maxRetries: 3, retryDelay: "1h" }, () => Promise.reject(new Error("down"))),
    ]);
  });
  const record = await t.ff.run(() => order.schedule());
  await t.drain({ tasks: [order, print] });
  await using project = await testProject({ database: t.db.url });
  const ids = (await record.steps()).flatMap(({ callees }) => callees);

  const table = (await project.run("steps", `${record.id}`, "--table")).stdout;
  const shown = (await project.run("show", `${record.id}`, "--table")).stdout;
  for (
    const line of [
      /^ *sleep +completed +1 +[\d-]+ [\d:]+ *$/m,
      new RegExp(`^ *${print.funcName} +completed +1 .* \\[ 'a', 'b' \\] of tasks ${ids[0]}, ${ids[1]}$`, "m"),
      /^ *pause +waiting +1 .* sleeps until \d{4}-/m,
      /^ *approved +waiting +1 .* waits for the signal until \d{4}-/m,
      new RegExp(`^ *${print.funcName} +waiting +1 .* waits for task ${ids[2]}$`, "m"),
      /^ *charge +waiting +1 .* tried again at \d{4}-.*, after 1 failure: Error: down$/m,
    ]
  ) {
    assertMatch(table, line);
    assertMatch(shown, line);
  }
  const json = jsonLines((await project.run("steps", `${record.id}`)).stdout);
  const waiting = json.filter(({ status }) => status === "waiting");
  assertEquals(waiting.map(({ kind, failures, seq, ended }) => [kind, failures, seq, ended]).toSorted(), [
    ["call", 0, null, null],
    ["signal", 0, null, null],
    ["sleep", 0, null, null],
    ["step", 1, null, null],
  ]);
});

Deno.test("signal sends a signal by id or by unique key, and exits with 4 where there is no such task", async () => {
  await using t = await testInstance();
  const approved = signal<{ by: string } | undefined>("approved");
  const order = task({ name: taskName(), unique: { key: (id: number) => `${id}` } }, async (_: number) => {
    const { step } = current();
    const all: unknown[] = [];
    for (let i = 0; i < 3; i++) all.push(await step.waitFor(approved));
    return all;
  });
  const record = await t.ff.run(() => order.schedule(42));
  await using project = await testProject({ database: t.db.url });

  const sent = await project.run("signal", `${record.id}`, "approved", '{"by": "Ada"}', "--table");
  assertEquals([sent.code, sent.stdout], [0, `Sent approved to task ${record.id}\n`]);
  assertEquals(jsonLines((await project.run("signal", `${order.funcName}:42`, "approved", '{"by": "Bob"}')).stdout), [
    { sent: true },
  ]);
  assertEquals((await project.run("signal", order.funcName, "approved", "--key", "42")).code, 0);
  await t.drain({ tasks: [order] });
  assertEquals(await record.result(), [{ by: "Ada" }, { by: "Bob" }, undefined]);

  const ended = await project.run("signal", `${record.id}`, "approved", "--table");
  assertEquals([ended.code, ended.stdout], [4, ""]);
  assertStringIncludes(ended.stderr, `There is no task ${record.id} that has not ended`);
  assertEquals((await project.run("signal", `${order.funcName}:43`, "approved")).code, 4);
  assertEquals((await project.run("signal", "17", "approved", "{by: Ada}")).code, 2);
  assertEquals((await project.run("signal", "order", "approved")).code, 2);
  assertEquals((await project.run("signal", "17")).code, 2);
});
