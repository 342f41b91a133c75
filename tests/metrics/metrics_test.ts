import { assert, assertEquals, assertRejects } from "@std/assert";
import parse from "parse-prometheus-text-format";
import { current, type Events, Fail, Firefly, Retry, signal, task } from "../../mod.ts";
import { writeMetrics } from "../../metrics.ts";
import { sampleQueues } from "../../src/store/statistics.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { testDatabase } from "../support/database.ts";

interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value?: string;
}

/** Reads metrics as Prometheus does; finds samples by name and some of their labels. */
async function scrape(ff: Firefly, options: Parameters<typeof writeMetrics>[1] = {}) {
  const text = await writeMetrics(ff, options);
  // The parser leaves out the labels of histograms: their series are read without their types.
  const series = text.replaceAll(/^# (HELP|TYPE) \w+_seconds .*\n/gm, "");
  const families = parse(series) as { name: string; metrics: Sample[] }[];
  function find(name: string, labels: Readonly<Record<string, string>> = {}): Sample[] {
    const metrics = families.flatMap((family) => family.name === name ? family.metrics : []);
    return metrics.filter((sample) => Object.entries(labels).every(([key, value]) => sample.labels?.[key] === value));
  }
  return {
    names: (parse(text) as { name: string }[]).map(({ name }) => name),
    find,
    value: (name: string, labels: Readonly<Record<string, string>> = {}) => Number(find(name, labels)[0]?.value),
  };
}

const [works, fails, retries, snoozes, naps] = [taskName(), taskName(), taskName(), taskName(), taskName()];
const tasks = {
  works: task({ name: works, queue: "mail" }, () => 1),
  fails: task({ name: fails }, () => {
    throw new Fail("never");
  }),
  retries: task({ name: retries, maxRetries: 1, retryDelay: 0 }, () => {
    throw new Error("not now");
  }),
  snoozes: task({ name: snoozes }, () => {
    if (snoozed++ === 0) throw new Retry({ delay: 0 });
  }),
  naps: task({ name: naps, queue: "mail" }, () => new Promise((resolve) => setTimeout(resolve, 60))),
};
let snoozed = 0;

Deno.test("the metrics of a process count its attempts by outcome, and how long they waited and ran", async () => {
  await using test = await testInstance();
  await using consumer = test.ff.consume({ concurrency: 4 });
  await consumer.ready;
  const before = await scrape(test.ff, { only: "consumer" });
  assertEquals(before.value("firefly_attempts_total", { task: fails, queue: "default", outcome: "failed" }), 0);
  await test.ff.run(async () => {
    await tasks.works.scheduleMany([[], [], []]);
    await tasks.naps.schedule();
    await Promise.all([tasks.fails.schedule(), tasks.retries.schedule(), tasks.snoozes.schedule()]);
  });
  await until(async () => (await test.db.sql`SELECT FROM firefly.task WHERE status = 'created'`).length === 0);
  await until(async () => (await scrape(test.ff, { only: "consumer" })).value("firefly_consumer_slots_taken") === 0);

  const found = await scrape(test.ff);

  const outcome = (task: string, outcome: string) => found.value("firefly_attempts_total", { task, outcome });
  assertEquals([outcome(works, "completed"), outcome(works, "failed")], [3, 0]);
  assertEquals(found.value("firefly_attempts_total", { task: works, queue: "mail", outcome: "completed" }), 3);
  assertEquals([outcome(fails, "failed"), outcome(retries, "retried"), outcome(retries, "failed")], [1, 1, 1]);
  assertEquals([outcome(snoozes, "snoozed"), outcome(snoozes, "completed")], [1, 1]);
  const run = (le: string) => found.value("firefly_run_seconds_bucket", { task: naps, le });
  assertEquals([run("0.0316"), run("100"), run("+Inf")], [0, 1, 1]);
  assertEquals(found.value("firefly_run_seconds_count", { task: naps }), 1);
  assert(found.value("firefly_run_seconds_sum", { task: naps }) >= 0.05);
  const wait = (le: string) => found.value("firefly_wait_seconds_bucket", { queue: "mail", le });
  assertEquals([wait("100"), wait("+Inf"), found.value("firefly_wait_seconds_count", { queue: "mail" })], [4, 4, 4]);
  assertEquals(found.value("firefly_consumer_ready"), 1);
  assertEquals(found.value("firefly_consumer_slots"), 4);
  assertEquals(found.value("firefly_database_up"), 1);
  assert(found.value("firefly_database_round_trip_seconds") > 0);
  assert(found.value("process_resident_memory_bytes") > 1e6);
  assertEquals(found.find("firefly_build_info").length, 1);
});

Deno.test("the metrics of the queues are what the database holds, from whatever process", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await insertTask(db, { queue: "mail", not_before: new Date(Date.now() - 3_600_000) });
  await insertTask(db, { queue: "mail", not_before: new Date(Date.now() + 3_600_000) });
  for (let i = 0; i < 2; i++) await insertTask(db, { queue: "unknown" });
  const moved = await db.sql`DELETE FROM firefly.ready WHERE queue = 'unknown' RETURNING *`;
  for (const { id, length } of moved) {
    await db.sql`
      INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
      SELECT id, claim_seq, not_before, priority, queue, func_name, 'unknown'
      FROM firefly.task WHERE id >= ${id} AND id < ${id} + ${length}::integer
    `;
  }
  // More than are counted one by one: here the sample counts.
  await db.sql`
    INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
    SELECT 1000000 + n, 0, now() + interval '1 day', 0, 'later', 'x', 'time' FROM generate_series(1, 1500) AS n
  `;
  await db
    .sql`INSERT INTO firefly.queue_minute (minute, queue, due, waiting) VALUES (date_trunc('minute', now()), 'later', 0, 4000)`;
  // This minute, too, as it may be the last one by the time of the scrape.
  await db.sql`INSERT INTO firefly.queue_minute (minute, queue, completed, failed)
    SELECT date_trunc('minute', now()) - ago * interval '1 minute', 'mail', 7, 2 FROM generate_series(0, 1) AS ago`;
  await ff.pause("mail");

  const found = await scrape(ff, { only: "queues" });

  const ofMail = (name: string) => found.value(`firefly_queue_${name}`, { queue: "mail" });
  assertEquals([ofMail("ready"), ofMail("backlog"), ofMail("paused"), ofMail("consumers")], [1, 1, 1, 0]);
  assert(ofMail("oldest_due_seconds") >= 3600 && ofMail("oldest_due_seconds") < 3700);
  const waiting = (queue: string, reason: string) => found.value("firefly_queue_waiting", { queue, reason });
  assertEquals([waiting("mail", "time"), waiting("unknown", "unknown"), waiting("later", "time")], [1, 2, 4000]);
  assertEquals(found.value("firefly_queue_last_minute", { queue: "mail", outcome: "completed" }), 7);
  assertEquals(found.value("firefly_wanted_consumers", { queue: "mail" }), 0); // paused
  assertEquals(found.value("firefly_consumers", { state: "live" }), 0);
  assertEquals(found.names.includes("firefly_consumer_ready"), false);
});

Deno.test("the metrics of the queues tell apart what dependants and suspended tasks wait for", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await insertTask(db, { queue: "mail", not_before: new Date(Date.now() + 3_600_000) });
  const wait = (columns: Record<string, unknown>) =>
    db.sql`
      INSERT INTO firefly.waiting ${
      db.sql({
        id: 1000,
        claim_seq: 1,
        priority: 0,
        queue: "mail",
        func_name: "x",
        not_before: new Date(0),
        ...columns,
      })
    }
    `;
  const later = { reason: "time", not_before: new Date(Date.now() + 3_600_000), suspended: true };
  await wait({ reason: "dependencies", pending: 2 });
  await wait({ reason: "suspended", suspended: true, pending: 1 });
  for (let i = 0; i < 2; i++) await wait({ reason: "suspended", suspended: true, signals: ["approved"], pending: 1 });
  await wait({ ...later, signals: ["approved"] });
  for (let i = 0; i < 3; i++) await wait(later);
  await wait({ ...later, not_before: new Date(0) }); // its sleep has ended: it is due
  await db.sql`INSERT INTO firefly.signal (task_id, name) VALUES (1, 'a'), (1, 'b')`;
  const ended = await insertTask(db, { status: "completed", completed: new Date(Date.now() - 120_000) });
  await db.sql`INSERT INTO firefly.ended (task_id) VALUES (${ended}), (${ended + 1000})`;

  const found = await scrape(ff, { only: "queues" });

  const waiting = found.find("firefly_queue_waiting", { queue: "mail" });
  assertEquals(Object.fromEntries(waiting.map(({ labels, value }) => [labels!.reason, Number(value)])), {
    time: 1,
    unknown: 0,
    concurrency: 0,
    rate: 0,
    dependencies: 1,
    sleep: 3,
    signal: 3,
    call: 1,
  });
  assertEquals(found.value("firefly_queue_backlog", { queue: "mail" }), 1);
  assertEquals([found.value("firefly_signals"), found.value("firefly_unreleased")], [2, 2]);
  const oldest = found.value("firefly_unreleased_oldest_seconds");
  assert(oldest >= 110 && oldest < 200, `${oldest} s`);
});

Deno.test("of more waiting tasks than a scrape counts, the metrics have the sample of the minute", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await db.sql`
    INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason, suspended, signals)
    SELECT n, 1, now() + interval '1 day', 0, CASE WHEN n > 6000 THEN 'mail' ELSE 'default' END, 'x',
      CASE WHEN n % 2 = 0 THEN 'time' ELSE 'suspended' END, true, CASE WHEN n % 2 = 1 THEN ARRAY['approved'] END
    FROM generate_series(1, 8000) AS n
  `;
  const { database: { sql } } = await ff.connect();
  await sampleQueues(sql);

  const found = await scrape(ff, { only: "queues" });

  const waiting = (queue: string, reason: string) => found.value("firefly_queue_waiting", { queue, reason });
  assertEquals([waiting("default", "sleep"), waiting("default", "signal"), waiting("default", "time")], [
    3000,
    3000,
    0,
  ]);
  assertEquals([waiting("mail", "sleep"), waiting("mail", "signal"), waiting("mail", "time")], [1000, 1000, 0]);
});

Deno.test("the metrics of a process count its steps by outcome, and the releases of dependants", async () => {
  await using test = await testInstance();
  const work = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    for (const key of ["a", "b"]) await step({ name: "print", key }, () => {});
    await step("book", async () => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      if (attempt === 1) throw new Error("full");
    });
  });
  const late = signal("late");
  const naps = task({ name: taskName() }, async () => {
    const { step } = current();
    await step.sleep(0.05);
    await step.sleep("none", 0);
    await step.waitFor(late, { timeout: 0.05 }).catch(() => {});
    await step.call(tasks.fails).catch(() => {});
  });
  await using consumer = test.ff.consume({ concurrency: 4, tasks: [work, naps, tasks.fails, tasks.works] });
  await consumer.ready;
  const released: Events["released"][] = [];
  test.ff.on("released", (detail) => released.push(detail));
  await test.ff.run(async () => {
    await naps.schedule();
    await tasks.works.with({ after: [await work.schedule()] }).schedule();
    await tasks.works.with({ after: [await tasks.fails.schedule()] }).schedule();
  });
  await until(async () => (await test.db.sql`SELECT FROM firefly.task WHERE status = 'created'`).length === 0);

  const found = await scrape(test.ff, { only: "consumer" });

  const { funcName } = work;
  const steps = (step: string, outcome: string) =>
    found.value("firefly_steps_total", { task: funcName, step, outcome });
  assertEquals([steps("print", "completed"), steps("print", "failed")], [2, 0]);
  assertEquals([steps("book", "completed"), steps("book", "failed"), steps("book", "lost")], [1, 1, 0]);
  assertEquals(found.value("firefly_step_seconds_count", { task: funcName, step: "book" }), 2);
  assert(found.value("firefly_step_seconds_sum", { task: funcName, step: "book" }) >= 0.07);
  assertEquals(found.value("firefly_step_seconds_bucket", { task: funcName, step: "book", le: "0.01" }), 0);
  assertEquals(found.value("firefly_dependants_total", { outcome: "released" }), 2); // a dependant and a caller
  assertEquals(found.value("firefly_dependants_total", { outcome: "cancelled" }), 1);
  assert(found.value("firefly_release_seconds_count") >= 1);
  const sum = released.reduce((all, { tasks, cancelled }) => [all[0]! + tasks, all[1]! + cancelled], [0, 0]);
  assertEquals(sum, [2, 1]);
  const attempts = (outcome: string) => found.value("firefly_attempts_total", { task: naps.funcName, outcome });
  assertEquals([attempts("suspended"), attempts("completed"), attempts("failed")], [3, 1, 0]);
  const waits = (step: string, kind: string, outcome: string) =>
    found.value("firefly_steps_total", { task: naps.funcName, step, kind, outcome });
  assertEquals(
    [waits("sleep", "sleep", "completed"), waits("none", "sleep", "completed"), waits("late", "signal", "failed")],
    [1, 1, 1],
  );
  assertEquals(waits(tasks.fails.funcName, "call", "failed"), 1);
  assert(found.value("firefly_step_seconds_sum", { task: naps.funcName, step: "sleep" }) >= 0.04);
});

Deno.test("the metrics tell apart 100 names of steps of all consumers, and sum up the others", async () => {
  await using test = await testInstance();
  const loops = ["customer", "order"].map((word) =>
    task({ name: taskName(), queue: word }, async () => {
      for (let i = 0; i < 80; i++) await current().step(`${word} ${i}`, () => {});
    })
  );
  const consumers = loops.map((loop) => test.ff.consume({ tasks: [loop] }));
  await Promise.all(consumers.map(({ ready }) => ready));
  const records = await test.ff.run(() => Promise.all(loops.map((loop) => loop.schedule())));
  for (const record of records) await record.result();

  const found = await scrape(test.ff, { only: "consumer" });

  const steps = found.find("firefly_steps_total", { outcome: "completed" });
  assert(steps.length <= 101, `${steps.length} series`);
  assertEquals(steps.reduce((sum, { value }) => sum + Number(value), 0), 160);
  assert(found.value("firefly_steps_total", { task: "other", step: "other", outcome: "completed" }) >= 60);
  for (const consumer of consumers) await consumer.stop();
});

Deno.test("the metrics tell apart 100 queues, and sum up the others", async () => {
  await using test = await testInstance();
  await test.db.sql`INSERT INTO firefly.task (func_name, queue) SELECT 'f', 'q' || n FROM generate_series(1, 130) AS n`;
  await insertTask(test.db, { queue: "q7" });
  await insertTask(test.db, { func_name: 'a"b\\c', queue: "q7" });

  const found = await scrape(test.ff);

  const queues = found.find("firefly_queue_ready");
  assertEquals(queues.length, 101);
  assertEquals(found.value("firefly_queue_ready", { queue: "q7" }), 3);
  assertEquals(found.value("firefly_queue_ready", { queue: "other" }), 30);
  assertEquals(queues.reduce((sum, { value }) => sum + Number(value), 0), 132);
});

Deno.test("the metrics of a process are there without the database, and say that it is down", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await using ff = new Firefly({ database: proxy.through(db.url) });
  await ff.sql`SELECT 1`;
  proxy.mode = "reject";
  proxy.cut({ reset: true });

  const found = await scrape(ff);

  assertEquals(found.value("firefly_database_up"), 0);
  assertEquals(found.find("firefly_queue_ready"), []);
  assertEquals(found.value("firefly_consumer_slots"), 0);
});

Deno.test("the metrics fail where the schema is missing", async () => {
  await using db = await testDatabase({ migrated: false });
  await using ff = new Firefly({ database: db.url });
  await assertRejects(() => writeMetrics(ff), Error, "Cannot find all of schema");
});
