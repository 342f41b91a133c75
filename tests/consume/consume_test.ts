import net from "node:net";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type ConsumeOptions, DatabaseUnreachable, Firefly, FireflyError, SchemaMismatch, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { freePort } from "../faults/servers.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

const work = task(taskName(), (n?: number) => n);

Deno.test("consume() refuses wrong options before it connects", () => {
  const ff = new Firefly({ database: "postgres://127.0.0.1:1/nowhere" });
  const cases: [Partial<Record<keyof ConsumeOptions | "queue", unknown>>, string][] = [
    [{ queue: "a" }, 'did you mean "queues"?'],
    [{ queues: [] }, '"queues" is empty'],
    [{ queues: ["ok", "Not ok"] }, 'current value is "Not ok"'],
    [{ queues: "x".repeat(56) }, "PostgreSQL allows 63"],
    [{ concurrency: 0 }, '"concurrency" must be a positive integer: current value is 0'],
    [{ concurrency: 1.5 }, "current value is 1.5"],
    [{ concurrency: Infinity }, "current value is Infinity"],
    [{ maxTasks: -1 }, '"maxTasks" must be a positive integer: current value is -1'],
    [{ lease: 0.5 }, '"lease" must be'],
    [{ lease: "100d" }, '"lease" must be'],
    [{ pollInterval: "soon" }, 'Cannot read "pollInterval"'],
    [{ pollInterval: 0 }, '"pollInterval" must be'],
    [{ shutdownTimeout: -1 }, 'Cannot read "shutdownTimeout"'],
    [{ tasks: [] }, "no task is defined"],
  ];

  for (const [options, message] of cases) {
    const error = assertThrows(() => ff.consume({ tasks: [work], ...options } as ConsumeOptions), Error, message);
    assert(/^Cannot (consume|read)/.test(error.message), error.message);
  }
});

Deno.test("consume() is ready when it is registered, and stop() ends it with its figures", async () => {
  await using test = await testInstance();
  const consumer = test.ff.consume({ tasks: [work], queues: ["b", "a", "b"], concurrency: 3 });

  await consumer.ready;
  const [row] = await test.db.sql`SELECT queues, tasks, concurrency FROM firefly.consumer`;
  assertEquals(row, { queues: ["b", "a"], tasks: [work.funcName], concurrency: 3 });
  assertEquals(
    await test.ff.run(async () => await work.with({ queue: "a" }).schedule(7).result({ timeout: "10s" })),
    7,
  );
  await Promise.all([consumer.stop(), consumer.stop()]);

  assertEquals(await consumer.finished, { completed: 1, failed: 0 });
  assertEquals((await test.db.sql`SELECT FROM firefly.consumer`).length, 0);
  await consumer.stop();
});

Deno.test("consume() takes the instance's queue where none is given", async () => {
  await using test = await testInstance({ defaults: { queue: "mail" } });
  await test.ff.run(() => work.schedule(1));

  assertEquals(await test.drain({ tasks: [work] }), { completed: 1, failed: 0 });
});

Deno.test("consume() waits for a database that is not up yet, and says so once", async () => {
  await using db = await testDatabase();
  const port = await freePort();
  await using ff = new Firefly({ database: Object.assign(new URL(db.url), { port }).href });
  const errors: unknown[] = [];
  ff.on("consumer.error", ({ action, error }) => errors.push([action, error]));
  await using consumer = ff.consume({ tasks: [work] });
  await until(() => errors.length > 0);

  await using _ = await relay(port, new URL(db.url));
  await consumer.ready;

  assertEquals(await ff.run(async () => await work.schedule(1).result({ timeout: "10s" })), 1);
  assertEquals(errors.length, 1);
  const [[action, error]] = errors as [[string, unknown]];
  assertEquals(action, "start");
  assert(error instanceof DatabaseUnreachable);
  await ff.close(); // before the way to the database is gone
});

/** Passes what comes to `port` on to a server, from now on. */
async function relay(port: number, { hostname, port: target }: URL): Promise<AsyncDisposable> {
  const server = net.createServer((client) => {
    const upstream = net.connect({ host: hostname, port: Number(target) });
    for (const socket of [client, upstream]) socket.on("error", () => {});
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

Deno.test("consume() rejects where waiting is of no use: no such database, no schema", async () => {
  await using db = await testDatabase({ migrated: false });
  const reject = async (database: string) => {
    await using ff = new Firefly({ database });
    const consumer = ff.consume({ tasks: [work] });
    const error = await assertRejects(() => consumer.finished, FireflyError);
    assertEquals(await assertRejects(() => consumer.ready), error);
    await consumer.stop();
    return error;
  };

  assert(await reject(`${db.url}_missing`) instanceof DatabaseUnreachable);
  assert(await reject(db.url) instanceof SchemaMismatch);
});

Deno.test("a consumer that is stopped before it was ready ends, and says that it never was", async () => {
  await using ff = new Firefly({ database: "postgres://127.0.0.1:1/nowhere" });
  const consumers = [
    ff.consume({ tasks: [work], signal: AbortSignal.abort() }),
    ff.consume({ tasks: [work] }),
  ];
  const refused = Promise.withResolvers<void>();
  ff.on("consumer.error", () => refused.resolve());
  await refused.promise;

  await Promise.all(consumers.map((consumer) => consumer.stop()));

  for (const consumer of consumers) {
    assertEquals(await consumer.finished, { completed: 0, failed: 0 });
    await assertRejects(() => consumer.ready, FireflyError, "was stopped before it was ready");
  }
});

Deno.test("consume() stops with its signal, and removes its listener from it at its end", async () => {
  await using test = await testInstance();
  const abort = new AbortController();
  const consumer = test.ff.consume({ tasks: [work], signal: abort.signal });
  await consumer.ready;

  abort.abort(new Error("enough"));

  assertEquals(await consumer.finished, { completed: 0, failed: 0 });
});

Deno.test("a draining consumer does not end between an attempt and its retry", async () => {
  await using test = await testInstance();
  for (let round = 0; round < 30; round++) {
    let attempts = 0;
    const failing = task({ name: taskName(), maxRetries: 3, retryDelay: 0 }, () => {
      attempts++;
      throw new Error("no");
    });
    await test.ff.run(() => failing.schedule());

    await test.drain({ tasks: [failing] });

    assertEquals(attempts, 4);
  }
});
