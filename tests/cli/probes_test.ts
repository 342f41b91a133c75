import { assertEquals, assertMatch } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { type CliProcess, startCli } from "../support/process.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { without } from "../support/without.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { jsonLines, testProject } from "../support/project.ts";

const TASKS = new URL("../faults/blocking_tasks.ts", import.meta.url).pathname;

interface Probed extends AsyncDisposable {
  readonly consumer: CliProcess;
  readonly port: number;
  /** Asks, and gives the status and the lines. */
  ask(path: string, init?: RequestInit): Promise<[status: number, lines: string[]]>;
  /** Waits until it answers with a status. */
  answers(path: string, status: number): Promise<void>;
}

/** Starts a consumer with probes, on a port that is free. */
async function startProbed(database: string, ...args: string[]): Promise<Probed> {
  return await startProbedFrom(undefined, database, ...args);
}

async function startProbedFrom(root: string | undefined, database: string, ...args: string[]): Promise<Probed> {
  const flags = ["--import", TASKS, "--json", "--lease", "2s", "--probe-port", "0"];
  const consumer = startCli(["consume", "--database", database, ...flags, ...args], root ? { root } : {});
  await until(() => consumer.log.some((line) => line.includes('"probes"')), 30_000);
  const { port } = jsonLines(consumer.log.join("\n")).find(({ event }) => event === "probes");
  async function ask(path: string, init: RequestInit = {}): Promise<[number, string[]]> {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5_000), ...init });
    return [response.status, (await response.text()).trimEnd().split("\n")];
  }
  return {
    consumer,
    port,
    ask,
    answers: (path, status) => until(async () => (await ask(path))[0] === status, 20_000),
    [Symbol.asyncDispose]: () => consumer[Symbol.asyncDispose](),
  };
}

async function insertLinger(db: TestDatabase): Promise<number> {
  await db.sql`CREATE TABLE ledger (n int, task_id bigint, attempt int)`;
  return await insertTask(db, { func_name: "blocking.linger", params: btoa("[3000]"), timeout: 60 });
}

Deno.test("consume --probe-port answers /livez and /readyz with a line for each check", async () => {
  await using db = await testDatabase();
  await using probed = await startProbed(db.url);
  await probed.answers("/readyz", 200);

  await until(async () => (await probed.ask("/readyz"))[1].includes("listener: ok"));
  assertEquals(await probed.ask("/readyz"), [200, [
    "event loop: ok",
    "consumer: running",
    "lease: ok",
    "listener: ok",
  ]]);
  assertEquals(await probed.ask("/livez?verbose"), [200, ["event loop: ok", "consumer: ok"]]);
  assertEquals(await probed.ask("/livez", { method: "HEAD" }), [200, [""]]);
  assertEquals((await probed.ask("/livez", { method: "POST" }))[0], 405);
  for (const path of ["/", "/livez/", "/metrics/", "//livez"]) assertEquals((await probed.ask(path))[0], 404, path);
});

Deno.test("consume --probe-port answers /metrics, all of it or a part", async () => {
  await using db = await testDatabase();
  await using probed = await startProbed(db.url);
  await probed.answers("/readyz", 200);
  await insertTask(db, { queue: "mail" });

  const response = await fetch(`http://127.0.0.1:${probed.port}/metrics`);
  const all = (await response.text()).split("\n");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  for (const line of ["firefly_consumer_ready 1", 'firefly_queue_ready{queue="mail"} 1']) {
    assertEquals(all.includes(line), true, line);
  }
  const [, consumer] = await probed.ask("/metrics?only=consumer");
  const [, queues] = await probed.ask("/metrics?only=queues");
  const has = (lines: string[]) =>
    ["firefly_consumer_ready 1", 'firefly_queue_ready{queue="mail"} 1'].map((line) => lines.includes(line));
  assertEquals([has(consumer), has(queues)], [[true, false], [false, true]]);
  assertEquals((await probed.ask("/metrics?only=all"))[0], 400);
  assertEquals((await probed.ask("/metrics", { method: "POST" }))[0], 405);
});

Deno.test("/readyz fails within a lease of losing the database, and recovers; /livez still answers", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await using probed = await startProbed(proxy.through(db.url));
  await probed.answers("/readyz", 200);

  proxy.mode = "hole";
  const cutAt = performance.now();
  await probed.answers("/readyz", 503);
  const took = performance.now() - cutAt;
  const [status, lines] = await probed.ask("/readyz");
  assertEquals([status, lines[2]], [503, "lease: none"]);
  assertEquals((await probed.ask("/livez"))[0], 200);
  assertEquals(took < 2000, true, `It took ${took} ms`);

  proxy.mode = "pass";
  proxy.cut({ reset: true });
  await probed.answers("/readyz", 200);
});

Deno.test("/readyz fails and /livez answers while a consumer waits for its database", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  proxy.mode = "reject";
  await using probed = await startProbed(proxy.through(db.url));

  assertEquals(await probed.ask("/livez"), [200, ["event loop: ok", "consumer: ok"]]);
  assertEquals((await probed.ask("/readyz"))[0], 503);
  assertEquals((await probed.ask("/readyz"))[1][1], "consumer: starting");

  proxy.mode = "pass";
  await probed.answers("/readyz", 200);
});

Deno.test("/readyz fails while the listener is down, though the consumer polls", async () => {
  await using db = await testDatabase();
  // Nothing that listens gets through: the consumer works all the same.
  await using proxy = await TcpProxy.start(db.url);
  proxy.tamper = (text) => text.replaceAll("LISTEN ", "LISTXN ");
  await using probed = await startProbed(proxy.through(db.url), "--poll-interval", "200ms");
  await until(async () => (await probed.ask("/readyz"))[1].includes("lease: ok"));

  const [status, lines] = await probed.ask("/readyz");
  assertEquals([status, lines[3]], [503, "listener: down"]);
  const id = await insertTask(db, { func_name: "blocking.hang", timeout: 0.1, max_retries: 0 });
  await until(async () => (await recordOf(db, id)).status === "failed");
});

Deno.test("/readyz fails while a consumer stops, and /livez does not", async () => {
  await using db = await testDatabase();
  await using probed = await startProbed(db.url);
  await probed.answers("/readyz", 200);
  const id = await insertLinger(db);
  await until(async () => (await db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  probed.consumer.kill("SIGTERM");
  await probed.answers("/readyz", 503);

  assertEquals((await probed.ask("/readyz"))[1].slice(1, 3), ["consumer: stopping", "lease: ok"]);
  assertEquals((await probed.ask("/livez"))[0], 200);
  assertEquals(await probed.consumer.exited, 0);
  assertEquals((await recordOf(db, id)).status, "completed");
});

Deno.test("/livez does not answer while a handler blocks the event loop", async () => {
  await using db = await testDatabase();
  await using probed = await startProbed(db.url, "--no-watchdog");
  await probed.answers("/readyz", 200);
  await insertTask(db, { func_name: "blocking.spin", params: btoa("[3000]") });
  await until(() => probed.consumer.log.some((line) => line.startsWith("spins ")));

  const answer = await probed.ask("/livez", { signal: AbortSignal.timeout(1000) }).catch(({ name }) => name);

  assertEquals(answer, "TimeoutError");
  await probed.answers("/livez", 200);
});

Deno.test("/livez fails when the consumer's loop has not turned for too long", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  const [find, replace] = ["const LONGEST_TURN = 120_000;", "const LONGEST_TURN = 1_000;"];
  await using copy = await without({ file: "src/claim/loop.ts", find, replace });
  await using probed = await startProbedFrom(copy.root, proxy.through(db.url), "--poll-interval", "100ms");
  await probed.answers("/livez", 200);
  await probed.answers("/readyz", 200);

  proxy.mode = "hole"; // a claim waits for its answer now, for longer than a turn may take there
  await probed.answers("/livez", 503);

  assertEquals((await probed.ask("/livez"))[1], ["event loop: ok", "consumer: stuck"]);
});

Deno.test("consume refuses a probe port that is in use, before it claims anything", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await insertTask(db, { func_name: "math.add", params: btoa("[1,2]") });
  using listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const { port } = listener.addr;

  const flags = ["--probe-port", String(port), "--probe-host", "0.0.0.0"];
  const { code, stderr } = await project.run("consume", ...flags);

  assertEquals(code, 2);
  assertMatch(
    stderr,
    /^error: Cannot run "consume" as it cannot listen for probes on 0\.0\.0\.0, port \d+: it is in use$/m,
  );
  assertEquals((await db.sql`SELECT FROM firefly.task WHERE status = 'created'`).length, 1);
});

for (
  const [flags, why] of [
    [["--probe-host", "localhost"], '"--probe-host" needs a port: --probe-port <number>'],
    [["--probe-port", "65536"], '"--probe-port" must be at most 65535: current value is "65536"'],
    [["--probe-port", "http"], '"--probe-port" must be an integer of at least 0: current value is "http"'],
    [["--probe-port", "0", "--probe-host", "203.0.113.1"], "it cannot listen for probes on 203.0.113.1, port 0: "],
  ] as const
) {
  Deno.test(`consume refuses ${flags.join(" ")}`, async () => {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url });

    const { code, stderr } = await project.run("consume", ...flags);

    assertEquals(code, 2);
    assertEquals(stderr.includes(why), true, stderr);
  });
}
