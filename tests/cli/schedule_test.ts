import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";

Deno.test("schedule --wait prints the record that a consumer completed", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using consumer = project.start("consume");
  await consumer.said('"ready"');

  const { code, stdout } = await project.run("schedule", "math.add", "[1,3]", "--wait", "--json");

  const [record, ...more] = jsonLines(stdout);
  assertEquals(more, []);
  assertEquals([code, record.status, record.params, record.returned], [0, "completed", [1, 3], 4]);
});

Deno.test("schedule takes the options of the task's definition", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  const { code, stdout } = await project.run("schedule", "math.add", "[1,3]");

  const [record] = jsonLines(stdout);
  assertEquals(code, 0);
  assertEquals([record.func_name, record.queue, record.max_retries, record.retry_delay], [
    "math.add",
    "default",
    3,
    10,
  ]);
});

Deno.test("schedule lets flags override the task's definition", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const flags = "--queue slow --priority -5 --max-retries 7 --retry-delay 2m --timeout 90 --tag a --tag b,c".split(" ");

  await project.run("schedule", "math.add", "[1,3]", ...flags, "--not-before", "2100-01-01T00:00Z");

  const [row] = await db.sql`
    SELECT queue, priority, max_retries, retry_delay, timeout, tags, not_before FROM firefly.task
  `;
  assertEquals(row, {
    queue: "slow",
    priority: -5,
    max_retries: 7,
    retry_delay: 120,
    timeout: 90,
    tags: ["a", "b,c"],
    not_before: new Date("2100-01-01T00:00Z"),
  });
});

Deno.test("schedule --delay moves the start", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  await project.run("schedule", "nap", "--delay", "10m");

  const [row] = await db.sql`SELECT extract(epoch FROM not_before - created)::integer AS delay FROM firefly.task`;
  assertEquals(row, { delay: 600 });
});

Deno.test("schedule takes an alias for the task", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  const { stdout } = await project.run("schedule", "app.add", "[1,3]");

  assertEquals(jsonLines(stdout)[0].func_name, "math.add");
});

Deno.test("schedule exits with 4 when there is no such task", async () => {
  await using project = await testProject();

  const near = await project.run("schedule", "math.ad");
  const far = await project.run("schedule", "xyz");

  assertEquals([near.code, near.stdout], [4, ""]);
  assertStringIncludes(near.stderr, 'There is no task "math.ad", did you mean "math.add"?');
  assertEquals(far.code, 4);
  assertStringIncludes(far.stderr, "there are app.add, fail, flaky, math.add, nap");
});

const misused: Record<string, [args: string[], message: string]> = {
  "no name": [[], "an argument is missing, usage: firefly schedule <name>"],
  "arguments that are no array": [["nap", "5"], "must be a JSON array such as '[1, 3]': current value is 5"],
  "arguments that are an object": [["nap", "{}"], "must be a JSON array"],
  "arguments that are no JSON": [["nap", "[1,"], "the arguments are not valid JSON"],
  "two times": [["nap", "--delay", "1", "--not-before", "2100-01-01"], "--delay and --not-before exclude each other"],
  "a time that is none": [["nap", "--not-before", "soon"], '"--not-before" must be a time'],
  "a queue that can be none": [["nap", "--queue", "a b"], "a queue's name must be"],
  "retries that are no number": [["nap", "--max-retries", "-1"], '"--max-retries" must be an integer of at least 0'],
};

for (const [what, [args, message]] of Object.entries(misused)) {
  Deno.test(`schedule refuses ${what} with exit code 2`, async () => {
    await using project = await testProject();

    const { code, stdout, stderr } = await project.run("schedule", ...args);

    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
  });
}

Deno.test("schedule --wait exits with 5 and prints the record when the task fails", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using consumer = project.start("consume");
  await consumer.said('"ready"');

  const { code, stdout } = await project.run("schedule", "fail", '["too bad"]', "--wait");

  const [record] = jsonLines(stdout);
  assertEquals([code, record.status], [5, "failed"]);
  assertEquals([record.errors[0].name, record.errors[0].message], ["TypeError", "too bad"]);
});

Deno.test("schedule --wait exits with 5 when the task is cancelled", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using waiting = project.start("schedule", "nap", "--wait");
  await waiting.said("waiting until it ends");
  await db.sql`SELECT firefly.cancel(id) FROM firefly.task`;

  const { code, stdout } = await waiting.ended();

  assertEquals([code, jsonLines(stdout)[0].status], [5, "cancelled"]);
});

Deno.test("schedule --wait-timeout exits with 124 and prints the record when the task has not ended", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  const { code, stdout, stderr } = await project.run("schedule", "nap", "--wait-timeout", "200ms");

  assertEquals([code, jsonLines(stdout)[0].status], [124, "created"]);
  assertMatch(stderr, /error: Task \d+ did not end within 0.2 s: /);
});

Deno.test("schedule ends soon even if a task module keeps the process open", async () => {
  await using db = await testDatabase();
  const tasks = `
    import { task } from ${JSON.stringify(PACKAGE)};
    export const nothing = task("nothing", () => {});
    setInterval(() => {}, 1000);
  `;
  await using project = await testProject({ database: db.url, files: { "tasks.ts": tasks } });

  const { code, stdout } = await project.run("schedule", "nothing");

  assertEquals(code, 0);
  assert(jsonLines(stdout)[0].id > 0);
});

Deno.test("schedule --unique keeps a duplicate, and prints its id", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const schedule = async () =>
    jsonLines((await project.run("schedule", "math.add", "[1,3]", "--unique", "k")).stdout)[0];

  const [first, second] = [await schedule(), await schedule()];

  assertEquals([second.id, first.inserted, second.inserted], [first.id, true, false]);
});
