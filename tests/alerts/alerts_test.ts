import { assert, assertEquals, assertMatch } from "@std/assert";
import { Webhook } from "standardwebhooks";
import { type AlertOptions, Firefly, task } from "../../mod.ts";
import { registerConsumer } from "../../src/store/consumers.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { jsonLines, scheduleIn, TASKS, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

const SECRET = `whsec_${btoa("a secret of thirty-two bytes or so")}`;

/** An alert that a receiver got. */
interface Received {
  readonly headers: Record<string, string>;
  readonly body: string;
  // deno-lint-ignore no-explicit-any
  readonly alert: any;
}

/** A receiver of webhooks that answers the first `failures` requests with an error. */
function startReceiver(failures = 0) {
  const received: Received[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const body = await request.text();
    received.push({ headers: Object.fromEntries(request.headers), body, alert: JSON.parse(body) });
    return received.length <= failures ? new Response("no", { status: 500 }) : new Response(null, { status: 204 });
  });
  const url = `http://127.0.0.1:${server.addr.port}/hooks/token-in-the-path`;
  return {
    url,
    received,
    ofType: (type: string) => received.filter(({ alert }) => alert.type === type),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

const failing = task({ name: taskName() }, (id: number) => {
  throw new TypeError(`no user ${id}`);
});

/** Makes retries of alerts due at once. */
async function hurryRetries({ sql }: TestDatabase): Promise<void> {
  const waiting = await sql`SELECT id FROM firefly.waiting WHERE func_name = 'firefly.alert'`;
  for (const { id } of waiting) await sql`SELECT firefly.run(${id}::bigint)`;
}

/** A lease of a few seconds: causes are looked for each sixth of it. */
const LEASE = "2s";

/** Waits until a consumer has looked for causes: what comes from now on is worth an alert. */
async function haveLooked(db: TestDatabase): Promise<void> {
  await until(async () => (await db.sql`SELECT FROM firefly.alert WHERE cause = ''`).length === 1);
}

Deno.test("alerts report failed tasks once for each error, signed, retried under one id, from two consumers", async () => {
  await using receiver = startReceiver(1);
  const alerts: AlertOptions = { webhook: { url: receiver.url, secret: SECRET }, onFailed: true };
  await using test = await testInstance({ alerts });
  await using other = new Firefly({ database: test.db.url, alerts });
  const consumers = [test.ff, other].map((ff) => ff.consume({ tasks: [failing], lease: LEASE }));
  await Promise.all(consumers.map(({ ready }) => ready));
  await haveLooked(test.db);

  await test.ff.run(() => failing.scheduleMany([[1], [2], [3]]));
  await until(async () => {
    await hurryRetries(test.db);
    return receiver.received.length >= 2;
  });

  const [refused, taken] = receiver.received;
  assertEquals(taken!.headers["webhook-id"], refused!.headers["webhook-id"]);
  assertEquals(taken!.alert, refused!.alert);
  const { type, text, data } = taken!.alert;
  assertEquals(type, "task.failed");
  assertEquals([data.name, data.queue, data.error.name], [failing.funcName, "default", "TypeError"]);
  assertMatch(text, /failed: TypeError: no user \d$/);
  new Webhook(SECRET).verify(taken!.body, taken!.headers);
  const tampered = taken!.body.replace("TypeError", "RangeError");
  assert(throws(() => new Webhook(SECRET).verify(tampered, taken!.headers)));
  const [row] = await test.db
    .sql`SELECT errors::text FROM firefly.task WHERE func_name = 'firefly.alert' ORDER BY id`;
  assertMatch(row!.errors, /Cannot send the alert: 127\.0\.0\.1:\d+ answered with status 500/);
  assertEquals(row!.errors.includes("token-in-the-path"), false);

  // What failed after the look comes with the next alert, once it is time for it.
  await test.db.sql`UPDATE firefly.alert SET fired = fired - interval '1 hour' WHERE kind = 'failed'`;
  await test.ff.run(() => failing.schedule(4));
  const told = () => receiver.received.slice(1).flatMap(({ alert }) => alert.data.ids as number[]);
  await until(async () => {
    await test.db.sql`UPDATE firefly.alert SET fired = fired - interval '1 hour' WHERE kind = 'failed'`;
    return told().length >= 4;
  });
  assertEquals(told().length, new Set(told()).size);
  assertEquals(receiver.received.slice(1).reduce((sum, { alert }) => sum + alert.data.tasks, 0), 4);
});

function throws(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch {
    return true;
  }
}

Deno.test("alerts report a backlog, and when it is over", async () => {
  await using receiver = startReceiver();
  await using test = await testInstance({
    alerts: { webhook: { url: receiver.url }, onBacklog: { queue: "mail", moreThan: 2 } },
  });
  const other = task({ name: taskName() }, () => {});
  const mail = task({ name: taskName(), queue: "mail" }, () => {});
  await using consumer = test.ff.consume({ tasks: [other], lease: LEASE });
  await consumer.ready;
  await test.ff.run(() => mail.scheduleMany([[], [], []]));

  await until(() => receiver.received.length === 1);
  const [{ alert, headers }] = receiver.received as [Received];
  assertEquals([alert.type, alert.data.queue, alert.data.backlog], ["queue.backlog", "mail", 3]);
  assertMatch(alert.text, /^Queue "mail" has a backlog of 3, the oldest due for \d+ s; 0 consumers serve it$/);
  assertEquals(headers["webhook-signature"], undefined);

  await using helper = test.ff.consume({ tasks: [mail], lease: LEASE });
  await helper.ready;
  await until(() => receiver.ofType("queue.backlog_over").length === 1);
  assertEquals(receiver.received.length, 2);
});

Deno.test("alerts report a lost consumer, and not that of its alerts", async () => {
  await using receiver = startReceiver();
  await using test = await testInstance({ alerts: { webhook: { url: receiver.url }, onConsumerLost: true } });
  const other = task({ name: taskName() }, () => {});
  await using consumer = test.ff.consume({ tasks: [other], lease: LEASE });
  await consumer.ready;
  await haveLooked(test.db);

  const crashed = { host: "web-7", pid: 4711, version: "0", tasks: [], concurrency: 1 };
  await registerConsumer(test.db.store, { ...crashed, id: crypto.randomUUID(), queues: ["mail"] }, 0);
  await registerConsumer(test.db.store, { ...crashed, id: crypto.randomUUID(), queues: ["firefly.alerts"] }, 0);

  await until(() => receiver.received.length === 1);
  const { alert } = receiver.received[0]!;
  assertEquals(alert.type, "consumer.lost");
  assertEquals(alert.text, "Lost a consumer: process 4711 on web-7 (mail)");
});

Deno.test("consume sends the alerts of firefly.config.ts, and logs one consumer", async () => {
  await using receiver = startReceiver();
  await using db = await testDatabase();
  await using project = await testProject({
    database: db.url,
    files: {
      "tasks.ts": TASKS,
      "firefly.config.ts": `export default ${
        JSON.stringify({ alerts: { webhook: { url: receiver.url }, onFailed: true } })
      };`,
    },
  });
  await using running = project.start("consume", "--lease", LEASE);
  await running.said('"ready"');
  await haveLooked(db);
  await scheduleIn(db, "fail", ["no such page"]);

  await until(() => receiver.received.length === 1);
  assertEquals(receiver.received[0]!.alert.data.error, { name: "TypeError", message: "no such page" });
  running.kill("SIGTERM");
  const { code, stderr } = await running.ended();
  assertEquals(code, 0);
  assertEquals(jsonLines(stderr).filter(({ event }) => event === "ready").length, 1);
  assertEquals((await db.sql`SELECT FROM firefly.consumer`).length, 0);
});

for (
  const [alerts, why] of [
    [{}, '"alerts.webhook" must be an object with a "url"'],
    [{ webhook: { url: "ftp://x/secret" } }, '"alerts.webhook.url" must be an address with https: or http:'],
    [{ webhook: { url: "https://x" }, onBacklog: {} }, '"alerts.onBacklog" needs "olderThan" or "moreThan"'],
    [{ webhook: { url: "https://x" }, onFailled: true }, 'there is no option "onFailled", did you mean "onFailed"?'],
  ] as const
) {
  Deno.test(`alerts refuse ${JSON.stringify(alerts)}`, () => {
    let message = "";
    try {
      new Firefly({ alerts: alerts as unknown as AlertOptions });
    } catch (error) {
      message = (error as Error).message;
    }
    assert(message.endsWith(why), message);
  });
}

Deno.test("a process with alerts has a consumer that is named for them, which commands tell from that of its tasks", async () => {
  await using db = await testDatabase();
  await using project = await testProject({
    database: db.url,
    files: {
      "tasks.ts": TASKS,
      "firefly.config.ts": `export default { alerts: { webhook: { url: "http://127.0.0.1:1/" }, onFailed: true } };`,
    },
    env: { COLUMNS: "200" },
  });
  await using consumer = project.start("consume", "--name", "web-1", "--no-watchdog");
  await consumer.said(`"ready"`);
  await until(async () => (await db.sql`SELECT FROM firefly.consumer`).length === 2);
  const { pid } = consumer.process;

  const [json, table, top, doctor] = await Promise.all([
    project.run("consumers"),
    project.run("consumers", "--table"),
    project.run("top", "--table"),
    project.run("doctor"),
  ]);
  const scaled = await project.run("consumers", "set", String(pid), "-c", "20");

  const listed = jsonLines(json.stdout).map(({ name, pid, queues }) => [name, pid, queues]).sort();
  assertEquals(listed, [["firefly.alerts", pid, ["firefly.alerts"]], ["web-1", pid, ["default"]]]);
  assertMatch(table.stdout, /^firefly\.alerts .*\n {2}delivers the alerts of its process$/m);
  assertMatch(top.stdout, /^\S+ {2}1 consumer {2}0 of 10 running /);
  assertEquals(jsonLines(doctor.stdout).find(({ check }) => check === "consumers")?.value, "1 live");
  assertEquals(jsonLines(scaled.stdout).map(({ name, concurrency }) => [name, concurrency]), [["web-1", 20]]);
});
