import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  current,
  Fail,
  FireflyError,
  LeaseLost,
  Retry,
  TaskCancelled,
  type TaskOptions,
  transaction,
} from "../../mod.ts";
import { Attempt, Shutdown } from "../../src/attempt/attempt.ts";
import type { AttemptEnvironment } from "../../src/attempt/environment.ts";
import type { AttemptOutcome } from "../../src/settle/outcome_events.ts";
import { defineTask, type Handler } from "../../src/task/definition.ts";
import type { Events } from "../../src/events.ts";
import { Instance } from "../../src/firefly/instance.ts";
import { Settler } from "../../src/settle/settler.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import { removeExpiredConsumers, rescueTasks } from "../../src/store/consumers.ts";
import { decode } from "../../src/wire/decode.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

interface AttemptOptions {
  /** Options of the definition. */
  options?: Partial<TaskOptions>;
  /** Columns of the record. */
  columns?: Record<string, unknown>;
}

/** One claimed task and its attempt, begun. */
interface Begun {
  id: number;
  consumerId: string;
  attempt: Attempt;
  ending: Promise<AttemptOutcome>;
  /** Whether the attempt has left its slot. */
  handled: boolean;
}

/** What attempts run in, without the loop of a consumer. */
interface Bench extends AsyncDisposable {
  db: TestDatabase;
  /** Stands between the attempts and the database. */
  proxy: TcpProxy;
  env: AttemptEnvironment;
  heard: { event: string; detail: Record<string, unknown> }[];
  begin(handler: Handler, options?: AttemptOptions): Promise<Begun>;
  /** Runs a handler to the attempt's end, and reads the record. */
  run(handler: Handler, options?: AttemptOptions): Promise<{ ending: AttemptOutcome; record: Outcome }>;
}

interface Outcome {
  status: string;
  returned: unknown;
  errors: ErrorRow[];
  retry_attempts: number;
  snoozes: number;
  progress: number | null;
  progress_note: string | null;
}

/** Runs an attempt to its end. */
function run(attempt: Attempt, onHandled = () => {}): Promise<AttemptOutcome> {
  return new Promise((resolve) => attempt.start({ onHandled, onEnded: (_, ending) => resolve(ending) }));
}

async function bench({ lease = 30 } = {}): Promise<Bench> {
  const db = await testDatabase();
  const proxy = await TcpProxy.start(db.url);
  const instance = new Instance({ database: proxy.through(db.url) });
  const { database: { sql }, sessions } = await instance.connect();
  const { events } = instance;
  const { hooks, keys, redactor } = instance;
  const env = {
    instance,
    sql,
    sessions,
    settler: new Settler(sql),
    events,
    hooks,
    keys,
    redactor,
    defaults: {},
    lease,
  };
  const heard: Bench["heard"] = [];
  const names: (keyof Events)[] = ["started", "completed", "failed", "retried", "returned", "cancelled", "lost", "log"];
  for (const event of names) events.on(event, (detail) => heard.push({ event, detail: { ...detail } }));
  const begin = async (handler: Handler, { options = {}, columns = {} }: AttemptOptions = {}) => {
    const consumerId = await startConsumer(db);
    const id = await insertTask(db, columns);
    const task = await claimOne(db, consumerId);
    env.settler.open(task.batchId, 1);
    const attempt = new Attempt(task, defineTask({ name: "test.task", ...options }, handler), env);
    const begun: Begun = { id, consumerId, attempt, handled: false, ending: Promise.resolve("lost") };
    begun.ending = run(attempt, () => begun.handled = true);
    return begun;
  };
  return {
    db,
    proxy,
    env,
    heard,
    begin,
    async run(handler, options) {
      const { id, ending } = await begin(handler, options);
      const [ended, row] = [await ending, await recordOf(db, id)];
      const returned = row.returned === null ? null : decode(row.returned as string);
      return { ending: ended, record: { ...row, returned } as unknown as Outcome };
    },
    async [Symbol.asyncDispose]() {
      await env.settler.idle();
      await instance.close();
      await proxy[Symbol.asyncDispose]();
      await db[Symbol.asyncDispose]();
    },
  };
}

/** A step of a handler, which waits until the test says so. */
function gate(): { reached: Promise<void>; open(): void; wait(): Promise<void> } {
  const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  return {
    reached: reached.promise,
    open: opened.resolve,
    async wait() {
      reached.resolve();
      await opened.promise;
    },
  };
}

Deno.test("start() completes with what the handler returns, sync or async", async () => {
  await using test = await bench();

  const sync = await test.run((i: number, j: number) => i + j, { columns: { params: btoa("[1,3]") } });
  const later = await test.run(async () => await Promise.resolve([1n]));
  const nothing = await test.run(() => {});

  assertEquals([sync.ending, sync.record.status, sync.record.returned], ["completed", "completed", 4]);
  assertEquals([later.ending, later.record.returned], ["completed", [1n]]);
  assertEquals([nothing.ending, nothing.record.status, nothing.record.returned], ["completed", "completed", undefined]);
  assertEquals(await placesOf(test.db), { ready: 0, waiting: 0, lease: 0 });
});

Deno.test("start() fails a task without retries by whatever its handler throws", async () => {
  await using test = await bench();
  const thrown: [unknown, string, string][] = [
    [new RangeError("too far"), "RangeError", "too far"],
    ["just text", "string", "just text"],
    [undefined, "undefined", "undefined"],
    [new Error("a\0b \ud800"), "Error", "a\ufffdb \ufffd"],
    [Object.create(null), "Error", "The thrown value cannot be read"],
  ];

  for (const [error, name, message] of thrown) {
    const { ending, record } = await test.run(() => {
      throw error;
    });
    assertEquals([ending, record.status, record.returned], ["failed", "failed", null]);
    assertEquals(record.errors.map(({ name, message, attempt }) => ({ name, message, attempt })), [
      { name, message, attempt: 1 },
    ]);
  }
});

Deno.test("start() fails at once on Fail, and tries again uncounted after Retry's delay", async () => {
  await using test = await bench();

  const failed = await test.run(() => {
    throw new Fail("the page is gone");
  }, { columns: { max_retries: 5 } });
  const again = await test.run(() => {
    throw new Retry({ delay: "1h" });
  }, { columns: { max_retries: 0 } });
  const ownDelay = await test.run(() => {
    throw new Retry();
  }, { columns: { retry_delay: 7 } });

  assertEquals([failed.ending, failed.record.status, failed.record.retry_attempts], ["failed", "failed", 0]);
  assertEquals([again.ending, again.record.status], ["retried", "created"]);
  assertEquals([again.record.retry_attempts, again.record.snoozes, again.record.errors[0]!.delay], [0, 1, 3600]);
  assertEquals(ownDelay.record.errors[0]!.delay, 7);
});

Deno.test("start() takes the retries of the record, then of the definition, then of the instance", async () => {
  await using test = await bench();
  const fail = () => {
    throw new Error("no");
  };
  const left = async (columns: Record<string, unknown>, maxRetries?: number) => {
    const options = maxRetries === undefined ? {} : { maxRetries };
    const { record } = await test.run(fail, { columns, options });
    return record.status === "created" ? "retry" : "end";
  };

  assertEquals(await left({ max_retries: 1 }, 0), "retry");
  assertEquals(await left({ max_retries: 0 }, 1), "end");
  assertEquals(await left({}, 1), "retry");
  assertEquals(await left({}), "end");
  assertEquals(await left({ max_retries: 3, retry_attempts: 2 }), "retry");
  assertEquals(await left({ max_retries: 2, retry_attempts: 5 }), "end", "lowered below what it has used up");
  assertEquals(await left({ max_retries: 1, rescues: 3 }), "retry", "a rescue uses up no retry");
  Object.assign(test.env.defaults, { maxRetries: 1 });
  assertEquals(await left({}), "retry");
});

Deno.test("start() computes the delay before a retry from numbers, backoffs and functions", async () => {
  await using test = await bench();
  const delay = async (retryDelay: TaskOptions["retryDelay"], columns: Record<string, unknown> = {}) => {
    const options = { maxRetries: 9, ...(retryDelay === undefined ? {} : { retryDelay }) };
    const { record } = await test.run(() => {
      throw new RangeError("no");
    }, { options, columns });
    assertEquals([record.status, record.retry_attempts], ["created", Number(columns.retry_attempts ?? 0) + 1]);
    return record.errors[0]!.delay;
  };
  const backoff = (value: object) => ({ backoff: test.db.sql.json(value as never) });

  assertEquals(await delay(undefined), 120);
  assertEquals(await delay("5m"), 300);
  assertEquals(await delay("5m", { retry_delay: 1.5 }), 1.5, "the record wins");
  assertEquals(await delay({ kind: "fixed", delay: 3 }, { retry_attempts: 3 }), 3);
  assertEquals(await delay({ kind: "exponential", delay: 10, jitter: false }, { retry_attempts: 3 }), 80);
  assertEquals(await delay({ kind: "exponential", delay: 10, max: "1m", jitter: false }, { retry_attempts: 8 }), 60);
  const jittered = await delay({ kind: "exponential", delay: 10 }, { retry_attempts: 3 });
  assert(jittered! >= 0 && jittered! <= 80, `${jittered} is not between 0 and 80`);
  assertEquals(await delay("5m", { ...backoff({ kind: "linear", delay: "10s" }), retry_attempts: 2 }), 30);
  assertEquals(await delay((attempt, error) => attempt + error.name.length, { retry_attempts: 1 }), 12);
});

Deno.test("start() moves the next attempt by the very delay that it stores with the error", async () => {
  await using test = await bench();

  const { record } = await test.run(() => {
    throw new Error("no");
  }, { options: { maxRetries: 1, retryDelay: { kind: "exponential", delay: "1h", max: "1h" } } });

  const [{ delay, at }] = record.errors as [ErrorRow];
  const { not_before } = record as unknown as { not_before: Date };
  const late = Math.abs(not_before.getTime() - new Date(at).getTime() - delay! * 1000);
  assert(late <= 1, `${late} ms apart`);
});

Deno.test("start() tries again when the function that computes the delay throws or returns none", async () => {
  await using test = await bench();
  const mistakes: [TaskOptions["retryDelay"], string][] = [
    [() => {
      throw new Error("oops");
    }, "Error: oops"],
    [(() => "tomorrow") as never, "RangeError: Cannot read"],
    [() => NaN, "RangeError: Cannot read"],
  ];

  for (const [retryDelay, cause] of mistakes) {
    const { ending, record } = await test.run(() => {
      throw new Error("no");
    }, { options: { maxRetries: 1, retryDelay: retryDelay! } });
    const [{ message, cause: stored, delay }] = record.errors as [ErrorRow];
    assertEquals([ending, record.retry_attempts, delay], ["retried", 1, 120]);
    assertEquals(message, "Cannot tell when to try again");
    assertStringIncludes(stored!, cause);
  }
});

Deno.test("start() settles a retry however far away it is", async () => {
  await using test = await bench();
  const fail = () => {
    throw new Error("no");
  };

  const fromRecord = await test.run(fail, { columns: { max_retries: 1, retry_delay: 1e300 } });
  const fromHandler = await test.run(() => {
    throw new Retry({ delay: 1e15 });
  });

  for (const { ending, record } of [fromRecord, fromHandler]) {
    assertEquals([ending, record.status], ["retried", "created"]);
  }
  assertEquals(await placesOf(test.db), { ready: 0, waiting: 2, lease: 0 });
});

Deno.test("start() fails readably on params that were broken by hand", async () => {
  await using test = await bench();
  const cases: [string, string][] = [
    ["no base64!", "FireflyFormatError"],
    [btoa("{"), "FireflyFormatError"],
    [btoa('{"a":1}'), "TypeError"],
    [btoa("null"), "TypeError"],
    [btoa('[{"$":"Unheard"}]'), "FireflyFormatError"],
  ];

  for (const [params, name] of cases) {
    const { ending, record } = await test.run(() => "never called", { columns: { params } });
    assertEquals([ending, record.status, record.errors[0]!.name], ["failed", "failed", name], params);
    assert(record.errors[0]!.message.length > 20);
  }
});

Deno.test("start() fails on a result that cannot be stored, names its path, and rolls the effects back", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int)`;

  const { ending, record } = await test.run(async () => {
    await current().sql`INSERT INTO effect VALUES (1)`;
    return { list: [1, { callback: () => 1 }] };
  });

  assertEquals([ending, record.status, record.errors[0]!.name], ["failed", "failed", "DataCloneError"]);
  assertStringIncludes(record.errors[0]!.message, "$.list[1].callback");
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("start() fails on an error of the database, thrown, swallowed, or raised by COMMIT itself", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)`;
  const handlers: [Handler, string][] = [
    [async () => void await current().sql`SELECT 1 / 0`, "division by zero"],
    [async () => {
      await current().sql`INSERT INTO effect VALUES (1)`;
      await current().sql`SELECT 1 / 0`.catch(() => {});
      return "fine";
    }, "division by zero"],
    [async () => void await current().sql`INSERT INTO effect VALUES (2), (2)`, "duplicate key"],
  ];

  for (const [handler, message] of handlers) {
    const { ending, record } = await test.run(handler);
    assertEquals([ending, record.status, record.returned], ["failed", "failed", null]);
    assertStringIncludes(`${record.errors[0]!.message} ${record.errors[0]!.cause}`, message);
  }
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("start() aborts the signal at the timeout, leaves the slot, and fences the late finish", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int)`;
  const late = gate();
  const lateFailures: Promise<unknown>[] = [];
  let reason: unknown;
  const { id, ending } = await test.begin(async () => {
    const { sql, signal } = current();
    await sql`INSERT INTO effect VALUES (1)`;
    signal.addEventListener("abort", () => reason = signal.reason);
    await late.wait(); // ignores its signal
    lateFailures.push(assertRejects(() => sql`INSERT INTO effect VALUES (2)`, FireflyError, "transaction has ended"));
    return "late";
  }, { options: { timeout: "100ms" } });

  assertEquals(await ending, "failed");
  assertEquals((reason as DOMException).name, "TimeoutError");
  late.open();
  await until(() => lateFailures.length > 0);
  await Promise.all(lateFailures);

  const { status, errors, returned } = await recordOf(test.db, id);
  assertEquals([status, returned], ["failed", null]);
  const [{ name, message }] = errors as [ErrorRow];
  assertEquals([name, message], ["TimeoutError", "The attempt took longer than its timeout of 0.1 s"]);
  await until(async () => await backends(test.db, "idle in transaction") === 0);
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("start() takes the timeout of the record before the definition's, and none where there is none", async () => {
  await using test = await bench();
  const hang = () => new Promise(() => {});

  const { record } = await test.run(hang, { columns: { timeout: 0.05 }, options: { timeout: "1h" } });
  assertStringIncludes(record.errors[0]!.message, "0.05 s");
  Object.assign(test.env.defaults, { timeout: "60ms" });
  assertStringIncludes((await test.run(hang)).record.errors[0]!.message, "0.06 s");
});

Deno.test("a handler that ended cannot write or schedule any more", async () => {
  await using test = await bench();
  const after = gate();
  const leaked: Promise<unknown>[] = [];
  const instance = test.env.instance as Instance;
  const followUp = defineTask("test.follow_up", () => {});
  const { ending } = await test.begin(() => {
    const { sql } = current();
    leaked.push((async () => {
      await after.wait();
      await assertRejects(() => sql`SELECT 1`, FireflyError, "transaction has ended");
      await assertRejects(() => instance.schedule(followUp, [[]], {}), FireflyError, "has ended");
      await assertRejects(() => instance.transaction((sql) => sql`SELECT 1`), FireflyError, "has ended");
      await instance.schedule(followUp, [[]], { tx: null }); // outside of any transaction: that is what it says
    })());
  });

  assertEquals(await ending, "completed");
  after.open();
  await Promise.all(leaked);

  assertEquals((await test.db.sql`SELECT FROM firefly.task WHERE func_name = 'test.follow_up'`).length, 1);
});

Deno.test("start() leaves the slot before it settles, unless the handler's transaction holds a session", async () => {
  await using test = await bench();
  const plain = await test.begin(() => 1);
  assertEquals(await plain.ending, "completed");
  assert(plain.handled);

  const writing = await test.begin(async () => void await current().sql`SELECT 1`);
  assertEquals(await writing.ending, "completed");
  assert(!writing.handled);
});

Deno.test("current() tells the handler its id, attempt and whether it is the last", async () => {
  await using test = await bench();
  const seen: unknown[] = [];
  const look = () => {
    const { id, attempt, lastAttempt, queued, signal } = current();
    seen.push([id > 0, attempt, lastAttempt, queued, signal.aborted]);
  };

  await test.run(look, { columns: { max_retries: 2, retry_attempts: 1, rescues: 1 } });
  await test.run(look, { columns: { max_retries: 2, retry_attempts: 2 } });

  assertEquals(seen, [[true, 3, false, true, false], [true, 3, true, true, false]]);
});

Deno.test("progress() is stored outside of the transaction, at most twice a second, and its end always", async () => {
  await using test = await bench();
  const [half, end] = [gate(), gate()];
  const { id, ending } = await test.begin(async () => {
    const { progress, sql } = current();
    await sql`SELECT 1`;
    await progress(0.5, "half");
    await progress(0.6, "dropped");
    await half.wait();
    await progress(1);
    await end.wait();
    await progress(2);
  });
  await half.reached;

  const seen = await recordOf(test.db, id);
  assertEquals([seen.progress, seen.progress_note], [0.5, "half"]);
  half.open();
  await end.reached;
  assertEquals((await recordOf(test.db, id)).progress, 1);
  end.open();
  assertEquals(await ending, "failed");
  const { errors } = await recordOf(test.db, id);
  assertStringIncludes((errors as ErrorRow[])[0]!.message, "between 0 and 1: current value is 2");
});

Deno.test("current().log emits events with the attempt's id and fields", async () => {
  await using test = await bench();

  await test.run(() => current().log.warn("slow", { ms: 5 }));

  const [log] = test.heard.filter(({ event }) => event === "log");
  const { id, level, message, fields, attempt, funcName } = log!.detail;
  assertEquals({ level, message, fields, attempt, funcName }, {
    level: "warn",
    message: "slow",
    fields: { ms: 5 },
    attempt: 1,
    funcName: "test.task",
  });
  assert(Number(id) > 0);
  assertEquals(test.heard.map(({ event }) => event), ["started", "log", "completed"]);
});

Deno.test("abort() with Shutdown gives the task back, uncounted and in its old place", async () => {
  await using test = await bench();
  const { id, attempt, ending } = await test.begin(() => new Promise(() => {}), { columns: { max_retries: 0 } });
  const { not_before } = await recordOf(test.db, id);

  attempt.abort(new Shutdown("The consumer shuts down"));

  assertEquals(await ending, "returned");
  const record = await recordOf(test.db, id);
  const { status, retry_attempts, snoozes, errors } = record;
  assertEquals({ status, retry_attempts, snoozes, errors }, {
    status: "created",
    retry_attempts: 0,
    snoozes: 1,
    errors: [],
  });
  assertEquals(record.not_before, not_before);
  assertEquals(await placesOf(test.db), { ready: 1, waiting: 0, lease: 0 });
});

Deno.test("start() rolls the effects back with LeaseLost when the task was rescued, so that they happen once", async () => {
  await using test = await bench();
  const { db } = test;
  await db.sql`CREATE TABLE effect (attempt int)`;
  const step = gate();
  const write = (attempt: number) => async () => {
    await current().sql`INSERT INTO effect VALUES (${attempt})`;
    if (attempt === 1) await step.wait();
  };
  const first = await test.begin(write(1));
  await step.reached;
  await expireConsumer(db, first.consumerId);
  await removeExpiredConsumers(db.store);
  await rescueTasks(db.store);
  const successor = await claimOne(db, await startConsumer(db));
  test.env.settler.open(successor.batchId, 1);

  step.open();
  assertEquals(await first.ending, "lost");
  const [lost] = test.heard.filter(({ event }) => event === "lost");
  assert(lost!.detail.reason instanceof LeaseLost);
  const second = new Attempt(successor, defineTask("test.task", write(2)), test.env);
  assertEquals(await run(second), "completed");

  assertEquals((await db.sql`SELECT attempt FROM effect`).map(({ attempt }) => attempt), [2]);
});

Deno.test("start() says that the attempt was cancelled, whether its signal told it or its end, with a transaction or not", async () => {
  await using test = await bench();
  const handlers = { plain: () => {}, writing: () => current().sql`SELECT 1`, failing: () => Promise.reject("no") };

  for (const [what, work] of Object.entries(handlers)) {
    const step = gate();
    const { id, ending } = await test.begin(async () => {
      await step.wait();
      await work();
    });
    await step.reached;
    await test.db.sql`SELECT firefly.cancel(${id})`;
    step.open();

    assertEquals(await ending, "cancelled", what);
    const { status, errors, returned } = await recordOf(test.db, id);
    assertEquals({ status, errors, returned }, { status: "cancelled", errors: [], returned: null }, what);
    assert(test.heard.at(-1)!.detail.reason instanceof TaskCancelled, what);
  }
  assertEquals(test.heard.map(({ event }) => event), Object.keys(handlers).flatMap(() => ["started", "cancelled"]));
});

Deno.test("start() says that the attempt was lost when its task was settled by another", async () => {
  await using test = await bench();
  const failing = gate();
  const other = await test.begin(async () => {
    await failing.wait();
    throw new Error("no");
  });
  await failing.reached;
  await settle(test.db, other.attempt.task, { returned: "MQ==" });
  failing.open();
  assertEquals(await other.ending, "lost");
  const { status, errors } = await recordOf(test.db, other.id);
  assertEquals([status, errors], ["completed", []]);
});

Deno.test("start() waits for whoever holds the record's lock, and commits then", async () => {
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

Deno.test("start() waits for whoever holds the record's lock for longer than COMMIT may take, and has committed then", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int)`;
  const step = gate();
  const { id, ending } = await test.begin(async () => {
    await current().sql`INSERT INTO effect VALUES (1)`;
    await step.wait();
  });
  await step.reached;

  await test.db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${id} FOR UPDATE`;
    step.open();
    await until(async () => await backends(test.db, "active", "Lock") > 0);
    await new Promise((resolve) => setTimeout(resolve, 9_000));
    assertEquals(test.heard.map(({ event }) => event), ["started"]);
  });

  assertEquals(await ending, "completed");
  const { status, claim_seq, errors } = await recordOf(test.db, id);
  assertEquals([status, claim_seq, errors], ["completed", "1", []]);
  assertEquals((await test.db.sql`SELECT FROM effect`).count, 1);
});

Deno.test("start() gives a task back uncounted, with a rest, when the connection of its transaction is lost", async () => {
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

  assertEquals(await ending, "retried");
  const { status, retry_attempts, snoozes, errors } = await recordOf(test.db, id);
  assertEquals({ status, retry_attempts, snoozes }, { status: "created", retry_attempts: 0, snoozes: 3 });
  assertEquals((errors as ErrorRow[])[0]!.delay, 4);
  assertEquals((errors as ErrorRow[])[0]!.name, "DatabaseUnreachable");
});

Deno.test("abort() ends an attempt at once whose transaction waits for a network that is dead", async () => {
  await using test = await bench();
  const { proxy } = test;
  await test.run(async () => void await current().sql`SELECT 1`); // leaves a session that is connected
  const sent = Promise.withResolvers<void>();
  proxy.mode = "hole";
  proxy.onRequest = (text) => text.includes("BEGIN") && sent.resolve();
  const { ending, attempt } = await test.begin(async () => void await current().sql`SELECT 1`);
  await sent.promise;
  const started = performance.now();

  attempt.abort(new LeaseLost("The consumer could not renew its lease in time"));

  assertEquals(await ending, "lost");
  assert(performance.now() - started < 1000, `it took ${performance.now() - started} ms`);
  proxy.mode = "pass";
  proxy.cut({ reset: true });
});

/** A function `lacks(code)` that fails as a server does that has come to an end of something. */
async function withLack(db: TestDatabase): Promise<void> {
  await db.sql.unsafe(`
    CREATE FUNCTION lacks(code text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'it has come to an end' USING ERRCODE = code; END $$`);
}

Deno.test("start() gives a task back uncounted, with a rest, when the server lacks disk, memory, connections or files", async () => {
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
      ending: "retried",
      status: "created",
      retry_attempts: 0,
      snoozes: 4,
      rest: 8,
    });
  }
});

Deno.test("start() counts what the same statement would meet again, and what a savepoint undid", async () => {
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

Deno.test("start() gives up the lease of a task that the database refuses to settle", async () => {
  await using test = await bench();
  await test.db.sql`ALTER TABLE firefly.task ADD CONSTRAINT refused CHECK (status = 'created') NOT VALID`;

  const { id, attempt, ending } = await test.begin(() => 1);

  assertEquals(await ending, "lost");
  const [lost] = test.heard.filter(({ event }) => event === "lost");
  assertStringIncludes(String(lost!.detail.reason), "refused");
  assert(!test.env.settler.holds(attempt.task.batchId));
  assertEquals((await recordOf(test.db, id)).status, "created");
});

Deno.test("the server ends the transaction of a consumer that shows no life for a lease, and not of one that pings", async () => {
  await using test = await bench({ lease: 0.3 });
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
  assertEquals(await ending, "retried");
});

/** Runs a handler whose COMMIT gets no reply, as `mode` has it, until `happened`; then the connection breaks. */
async function loseCommit(mode: "mute" | "hole", happened: (db: TestDatabase) => Promise<boolean>) {
  await using test = await bench();
  const { proxy } = test;
  await test.db.sql`CREATE TABLE effect (n int)`;
  const committing = Promise.withResolvers<void>();
  proxy.onRequest = (text) => {
    if (!text.includes("COMMIT")) return;
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

  assertEquals([ending, record.status, record.claim_seq, record.errors], ["completed", "completed", "1", []]);
  assertEquals(effects, 1);
});

Deno.test("start() finds out that a COMMIT without a reply did not take effect, and gives the task back uncounted", async () => {
  const { ending, record, effects } = await loseCommit("hole", () => Promise.resolve(true));

  assertEquals([ending, record.status, record.retry_attempts, record.snoozes], ["retried", "created", 0, 1]);
  assertEquals(effects, 0);
});
