import { assert, assertEquals } from "@std/assert";
import { current, Fail, transaction } from "../../mod.ts";
import type { Handler } from "../../src/task/definition.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import type { TestDatabase } from "../support/database.ts";
import { backends } from "../support/statements.ts";
import { recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { bench } from "../support/attempt_bench.ts";
import { gate } from "../support/step_gate.ts";

Deno.test("start() waits while another transaction locks the record, and commits then", async () => {
  await using test = await bench();
  const step = gate();
  const { id, ending } = await test.begin(async () => {
    await current().sql`SELECT 1`;
    await step.wait();
  });
  await step.reached;

  await test.db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${id} FOR UPDATE`;
    step.open();
    await until(async () => await backends(test.db, "active", "Lock") > 0);
  });

  assertEquals(await ending, "completed");
  assertEquals((await recordOf(test.db, id)).status, "completed");
});

Deno.test("start() returns a task uncounted, with a delay, when the connection of its transaction is lost", async () => {
  await using test = await bench();
  const step = gate();
  let pid = 0;
  const { id, ending } = await test.begin(async () => {
    [{ pid }] = await current().sql<{ pid: number }>`SELECT pg_backend_pid() AS pid` as [{ pid: number }];
    await step.wait();
    await current().sql`SELECT 1`;
  }, { columns: { max_retries: 0, snoozes: 2 } });
  await step.reached;
  await test.db.sql`SELECT pg_terminate_backend(${pid})`;
  step.open();

  assertEquals(await ending, "snoozed");
  const { status, retry_attempts, snoozes, errors } = await recordOf(test.db, id);
  assertEquals({ status, retry_attempts, snoozes }, { status: "created", retry_attempts: 0, snoozes: 3 });
  assertEquals((errors as ErrorRow[])[0]!.delay, 4);
  assertEquals((errors as ErrorRow[])[0]!.name, "DatabaseUnreachable");
});

/** Creates a function `lacks(code)` that fails as a server without disk, memory, connections or files. */
async function withLack(db: TestDatabase): Promise<void> {
  await db.sql.unsafe(`
    CREATE FUNCTION lacks(code text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'it has come to an end' USING ERRCODE = code; END $$`);
}

Deno.test("start() returns a task uncounted, with a delay, when the server lacks disk, memory, connections or files", async () => {
  await using test = await bench();
  await withLack(test.db);
  const lacks = (code: string) => current().sql`SELECT lacks(${code})`;
  const handlers: Record<string, Handler> = {
    thrown: async () => void await lacks("53100"),
    wrapped: () =>
      lacks("53200").catch((cause) => {
        throw new Error("Cannot save", { cause });
      }),
    replaced: () =>
      lacks("53300").catch(() => {
        throw new Fail("Cannot save");
      }),
    swallowed: async () => void await lacks("53000").catch(() => {}),
    unreadable: async () => void await lacks("58030"),
    inSavepoint: () => transaction(async (sql) => void await sql`SELECT lacks('53100')`),
  };

  for (const [how, handler] of Object.entries(handlers)) {
    const { ending, record } = await test.run(handler, { columns: { snoozes: 3 } });
    const { status, retry_attempts, snoozes, errors } = record;
    assertEquals({ how, ending, status, retry_attempts, snoozes, rest: errors[0]!.delay }, {
      how,
      ending: "snoozed",
      status: "created",
      retry_attempts: 0,
      snoozes: 4,
      rest: 8,
    });
  }
});

Deno.test("start() counts errors that the same statement would meet again, and those that a savepoint undid", async () => {
  await using test = await bench();
  await withLack(test.db);
  const handlers: Handler[] = [
    async () => void await current().sql`SELECT lacks('53400')`, // a configured limit, as that of temporary files
    async () => void await current().sql`SELECT lacks('57014')`, // statement_timeout
    async () => {
      await transaction(async (sql) => void await sql`SELECT lacks('53100')`).catch(() => {});
      throw new Error("another matter");
    },
  ];

  for (const handler of handlers) {
    const { ending, record } = await test.run(handler);
    assertEquals([ending, record.status, record.snoozes], ["failed", "failed", 0]);
  }
});

Deno.test("the server ends the transaction of a consumer that is silent for a lease, and not of one that pings", async () => {
  await using test = await bench({ leaseMs: 300 });
  const step = gate();
  let pid = 0;
  const { ending, attempt } = await test.begin(async () => {
    [{ pid }] = await current().sql<{ pid: number }>`SELECT pg_backend_pid() AS pid` as [{ pid: number }];
    await step.wait();
  });
  await step.reached;
  const alive = async () => (await test.db.sql`SELECT FROM pg_stat_activity WHERE pid = ${pid}`).length > 0;
  const pinging = setInterval(() => attempt.ping(), 50);
  const pingUntil = performance.now() + 600; // what is measured is a time longer than the lease
  await until(() => performance.now() > pingUntil);
  assert(await alive(), "it pinged");

  clearInterval(pinging);
  await until(async () => !await alive());
  step.open();
  assertEquals(await ending, "snoozed");
});

/** Runs a handler whose COMMIT gets no reply, by `mode`, until `happened`; then the connection breaks. */
async function loseCommit(mode: "mute" | "hole", happened: (db: TestDatabase) => Promise<boolean>) {
  await using test = await bench();
  const { proxy } = test;
  await test.db.sql`CREATE TABLE effect (n int)`;
  const committing = Promise.withResolvers<void>();
  proxy.onRequest = (text) => {
    if (!/\bCOMMIT\b/.test(text)) return;
    proxy.mode = mode;
    committing.resolve();
  };
  const { id, ending } = await test.begin(async () => void await current().sql`INSERT INTO effect VALUES (1)`);
  await committing.promise;
  proxy.onRequest = () => {};
  await until(() => happened(test.db));
  proxy.mode = "pass";
  proxy.cut({ reset: true });
  const ended = await ending;
  const [row] = await test.db.sql`SELECT count(*)::int AS n FROM effect`;
  return { ending: ended, record: await recordOf(test.db, id), effects: row!.n };
}

Deno.test("start() finds out that a COMMIT without a reply took effect", async () => {
  const { ending, record, effects } = await loseCommit("mute", async (db) => {
    return (await db.sql`SELECT FROM effect`).length === 1;
  });

  assertEquals([ending, record.status, record.claim_seq, record.errors], ["completed", "completed", 1, []]);
  assertEquals(effects, 1);
});

Deno.test("start() finds out that a COMMIT without a reply did not take effect, and returns the task uncounted", async () => {
  const { ending, record, effects } = await loseCommit("hole", () => Promise.resolve(true));

  assertEquals([ending, record.status, record.retry_attempts, record.snoozes], ["snoozed", "created", 0, 1]);
  assertEquals(effects, 0);
});
