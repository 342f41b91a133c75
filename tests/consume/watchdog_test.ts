import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Events, task } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { ledgerDatabase } from "../faults/ledger.ts";
import { without } from "../support/without.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { type CliOptions, type CliProcess, startCli } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { runOn, RUNTIMES } from "../wire/runtimes.ts";

const TASKS = new URL("../faults/blocking_tasks.ts", import.meta.url).pathname;
const CHECK = new URL("../support/watchdog_check.ts", import.meta.url);
const BLOCKED =
  /^The event loop was blocked for 1\.[2-9] s, so the process is ended: blocking\.spin #\d+ started last$/;

/** Starts a consumer, and waits until it claims. */
async function startConsumer(db: TestDatabase, args: string[], options: CliOptions = {}): Promise<CliProcess> {
  const consumer = startCli(["consume", "--database", db.url, "--import", TASKS, ...args], options);
  await until(() => consumer.log.some((line) => line.includes('"ready"')), 30_000);
  return consumer;
}

/** Inserts a task that blocks the event loop of its consumer. */
async function insertSpin(db: TestDatabase, ms: number): Promise<number> {
  return await insertTask(db, { func_name: "blocking.spin", params: btoa(`[${ms}]`), max_retries: 0 });
}

/** Asserts that the consumer still runs tasks. */
async function assertWorks(db: TestDatabase, consumer: CliProcess): Promise<void> {
  const id = await insertTask(db, { func_name: "blocking.write", params: btoa("[1]") });
  const ended = consumer.exited.then((code) => {
    throw new Error(`The consumer has ended with ${code}: ${consumer.log.join("\n")}`);
  });
  await Promise.race([ended, until(async () => (await recordOf(db, id)).status === "completed")]);
}

/** Its exit code; it must end soon. */
async function exitOf(consumer: CliProcess): Promise<number> {
  let exited: number | undefined;
  consumer.exited.then((code) => exited = code);
  await until(() => exited !== undefined);
  return exited!;
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("Watchdog ends a process whose event loop is blocked within its lease, and says which task started last", async () => {
  await using db = await testDatabase();
  await using consumer = await startConsumer(db, ["--lease", "2s"]);
  const id = await insertSpin(db, -1);

  assertEquals(await exitOf(consumer), 137);

  const took = Date.now() - Number(consumer.log.find((line) => line.startsWith("spins "))!.slice("spins ".length));
  const { time: _, message, seconds, ...entry } = JSON.parse(consumer.log.at(-1)!);
  assertEquals(entry, { level: "error", event: "watchdog", id, func_name: "blocking.spin" });
  assertMatch(message, BLOCKED);
  assert(seconds >= 1.2 && seconds < 2);
  assert(took < 2000, `It was gone after ${took} ms`);
});

Deno.test("Watchdog does not end a process whose event loop is blocked for half a lease, and the log reports it", async () => {
  await using db = await ledgerDatabase();
  await using consumer = await startConsumer(db, ["--lease", "2s"]);
  const id = await insertSpin(db, 1000);

  await until(async () => (await recordOf(db, id)).status === "completed");

  await assertWorks(db, consumer);
  const entry = JSON.parse(consumer.log.find((line) => line.includes('"blocked"'))!);
  assertEquals([entry.level, entry.id, entry.func_name], ["warn", id, "blocking.spin"]);
});

Deno.test("consume --no-watchdog lets a handler block the event loop for longer than the lease", async () => {
  await using db = await ledgerDatabase();
  await using consumer = await startConsumer(db, ["--lease", "1s", "--no-watchdog"]);
  await insertSpin(db, 1500);
  await until(() => consumer.log.some((line) => line.startsWith("spins ")));

  await assertWorks(db, consumer);
});

Deno.test("Watchdog does not trip over SIGSTOP for two leases", async () => {
  await using db = await ledgerDatabase();
  await using consumer = await startConsumer(db, ["--lease", "1s"]);
  consumer.kill("SIGSTOP");
  await pause(2000);
  consumer.kill("SIGCONT");

  await assertWorks(db, consumer);
});

/** Stops the process `times` times, each time for longer than a block may last; resolves to whether it survived. */
async function stopAgainAndAgain(consumer: CliProcess, times: number): Promise<boolean> {
  let survives = true;
  consumer.exited.then(() => survives = false);
  for (let i = 0; i < times && survives; i++) {
    consumer.kill("SIGSTOP");
    await pause(700);
    consumer.kill("SIGCONT");
    await pause(150);
  }
  return survives;
}

Deno.test("Watchdog does not trip over SIGSTOP eight times", async () => {
  await using db = await ledgerDatabase();
  await using consumer = await startConsumer(db, ["--lease", "1s"]);

  assert(await stopAgainAndAgain(consumer, 8));
  await assertWorks(db, consumer);
});

Deno.test("Watchdog trips over SIGSTOP if it counts intervals in which it was late itself", async () => {
  await using db = await ledgerDatabase();
  const rule = {
    file: "src/consume/watchdog_worker.ts",
    find: "  } else if (elapsed < late) {\n",
    replace: "  } else {\n",
  };
  await using copy = await without(rule);
  // It takes a stop between two ticks: on a busy machine more than one consumer may be needed.
  for (let tries = 1;; tries++) {
    await using consumer = await startConsumer(db, ["--lease", "1s"], { root: copy.root });
    const survives = await stopAgainAndAgain(consumer, 24);
    if (survives && tries < 3) continue;
    assertEquals([survives, await exitOf(consumer)], [false, 137]);
    break;
  }
});

Deno.test("Watchdog does not trip on a machine that is busy", async () => {
  await using db = await ledgerDatabase();
  await using consumer = await startConsumer(db, ["--lease", "1s"]);
  const spin = `const end = Date.now() + 4000; while (Date.now() < end);`;
  const count = 2 * navigator.hardwareConcurrency;
  const load = Array.from({ length: count }, () => new Deno.Command(Deno.execPath(), { args: ["eval", spin] }).spawn());
  await db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'blocking.write', firefly.encode(jsonb_build_array(n)) FROM generate_series(1, 400) AS n
  `;
  await Promise.all(load.map(({ status }) => status));

  await assertWorks(db, consumer);
});

Deno.test("consumer.blocked reports a blocked event loop once, with its duration and the task that started last", async () => {
  await using test = await testInstance();
  const heard: Events["consumer.blocked"][] = [];
  // Longer than the delays of a busy machine.
  test.ff.on("consumer.blocked", (detail) => detail.seconds > 1.2 && heard.push(detail));
  const ids: string[] = [];
  test.ff.on("consumer.started", ({ consumerId }) => ids.push(consumerId));
  const compute = task(taskName(), () => {
    const end = performance.now() + 1500;
    while (performance.now() < end);
  });
  const row = await test.ff.run(() => compute.schedule());

  await using _ = test.ff.consume({ tasks: [compute], lease: "3s" });
  await until(() => heard.length > 0, 30_000);

  const [{ seconds: _seconds, cpuSeconds, ...detail }] = heard as [Events["consumer.blocked"]];
  assertEquals(detail, { consumerId: ids[0]!, id: row.id, funcName: compute.funcName });
  assert(cpuSeconds > 0.5, `${cpuSeconds} s of CPU time`);
  await pause(200);
  assertEquals(heard.length, 1);
});

Deno.test("consumer.blocked reports little CPU time if the handler waited synchronously", async () => {
  await using db = await testDatabase();
  await using consumer = await startConsumer(db, ["--lease", "3s"]); // a process of its own, whose CPU time is its own
  await insertTask(db, { func_name: "blocking.stand", params: btoa("[1500]") });

  await until(() => consumer.log.some((line) => line.includes('"blocked"')));

  const { seconds, cpu_seconds } = JSON.parse(consumer.log.find((line) => line.includes('"blocked"'))!);
  assert(cpu_seconds < seconds / 2, `${cpu_seconds} of ${seconds} s`);
});

Deno.test("consume() with watchdog: true ends its thread with the consumer", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => 1);
  await test.ff.run(() => work.schedule());

  assertEquals(await test.drain({ tasks: [work], watchdog: true, lease: "1s" }), { completed: 1, failed: 0 });
});

Deno.test("Watchdog ends the first process of a container, which cannot SIGKILL itself", {
  ignore: Deno.build.os !== "linux" || Deno.uid() !== 0,
}, async () => {
  await using db = await testDatabase();
  const wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
  await using consumer = await startConsumer(db, ["--lease", "2s"], { wrapper });
  await insertSpin(db, -1);

  assertEquals(await exitOf(consumer), 137);
  assertMatch(JSON.parse(consumer.log.at(-1)!).message, BLOCKED);
});

for (const runtime of RUNTIMES) {
  Deno.test(`Watchdog ends a process on ${runtime}`, async () => {
    const { success, stderr } = await runOn(runtime, CHECK);

    const [first, last] = stderr.trim().split("\n");
    assertEquals([success, first], [false, "unwatched"], stderr);
    const { message, id, func_name } = JSON.parse(last!);
    assertEquals([id, func_name], [2 ** 40, "b"]);
    assertStringIncludes(message, "so the process is ended: b #1099511627776 started last");
  });
}
