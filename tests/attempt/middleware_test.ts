import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { AsyncLocalStorage } from "node:async_hooks";
import { type AttemptInfo, current, Fail, FireflyError, task } from "../../mod.ts";
import { callThrough, type Middleware } from "../../src/attempt/middleware.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

const ATTEMPT: AttemptInfo = { id: 1, funcName: "test.task", queue: "default", attempt: 1 };

Deno.test("callThrough() enters the first layer first and leaves it last", async () => {
  const steps: string[] = [];
  const layer = (name: string): Middleware => async (attempt, next) => {
    steps.push(`into ${name} of ${attempt.id}`);
    const result = await next();
    steps.push(`out of ${name}`);
    return `${name}(${result})`;
  };

  const result = await callThrough([layer("a"), layer("b")], ATTEMPT, () => {
    steps.push("handler");
    return Promise.resolve(1);
  });

  assertEquals(result, "a(b(1))");
  assertEquals(steps, ["into a of 1", "into b of 1", "handler", "out of b", "out of a"]);
});

Deno.test("callThrough() without layers is the call of the innermost alone", async () => {
  assertEquals(await callThrough([], ATTEMPT, () => Promise.resolve(1)), 1);
});

Deno.test("callThrough() gives errors to the layers around, which may let them pass, replace or catch them", async () => {
  const fail = () => Promise.reject(new RangeError("no"));
  const wrap: Middleware = async (_, next) => {
    try {
      return await next();
    } catch (cause) {
      throw new Error("wrapped", { cause });
    }
  };
  const recover: Middleware = (_, next) => next().catch(() => "recovered");

  await assertRejects(() => callThrough([(_, next) => next()], ATTEMPT, fail), RangeError, "no");
  await assertRejects(() => callThrough([wrap], ATTEMPT, fail), Error, "wrapped");
  assertEquals(await callThrough([recover, wrap], ATTEMPT, fail), "recovered");
});

Deno.test("callThrough() turns what a layer throws at once into a rejection", async () => {
  const mistake: Middleware = () => {
    throw new TypeError("a layer's own mistake");
  };

  await assertRejects(() => callThrough([mistake], ATTEMPT, () => Promise.resolve(1)), TypeError, "own mistake");
});

Deno.test("callThrough() refuses a second next() of the same layer, and runs the handler once", async () => {
  let calls = 0;
  const twice: Middleware = async (_, next) => {
    await next();
    return await next();
  };

  await assertRejects(
    () => callThrough([twice], ATTEMPT, () => Promise.resolve(++calls)),
    FireflyError,
    "Cannot call next() as this middleware has called it before",
  );
  assertEquals(calls, 1);
});

Deno.test("callThrough() leaves the handler out where a layer does not call next()", async () => {
  let called = false;
  const instead: Middleware = () => Promise.resolve("instead");

  assertEquals(await callThrough([instead], ATTEMPT, () => Promise.resolve(called = true)), "instead");
  assert(!called);
});

Deno.test("use() surrounds the attempts of a consumer that was started before, and may replace their results", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (n: number) => n);
  await using consumer = test.ff.consume({ tasks: [work] });
  await consumer.ready;
  const before = await test.ff.run(() => work.schedule(1).result());
  const seen: unknown[] = [];

  test.ff.use(async (attempt, next) => {
    seen.push({ ...attempt });
    return Number(await next()) * 10;
  });
  const row = await test.ff.run(() => work.schedule(1));

  assertEquals([before, await row.result()], [1, 10]);
  assertEquals(seen, [{ id: row.id, funcName: work.funcName, queue: "default", attempt: 1 }]);
});

Deno.test("use() runs middleware where current() is the attempt's, in the handler's transaction and asynchronous context", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE effect (tenant text, written_by text)`;
  const tenant = new AsyncLocalStorage<string>();
  test.ff.use(async (attempt, next) => {
    assertEquals(current().id, attempt.id);
    await current().sql`SELECT set_config('app.tenant', 'acme', true)`;
    return await tenant.run("acme", next);
  });
  const work = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { sql, lastAttempt } = current();
    await sql`INSERT INTO effect VALUES (current_setting('app.tenant'), ${tenant.getStore() ?? null})`;
    if (!lastAttempt) throw new Error("undone, with what the middleware did");
  });
  const row = await test.ff.run(() => work.schedule());

  await test.drain({ tasks: [work] });

  assertEquals((await row.refresh()).status, "completed");
  assertEquals([...await test.db.sql`SELECT * FROM effect`], [{ tenant: "acme", written_by: "acme" }]);
});

Deno.test("what middleware throws is the attempt's error: Fail ends the task, anything else is tried again", async () => {
  await using test = await testInstance();
  let called = 0;
  const work = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, () => void called++);
  const refused = task({ name: taskName(), maxRetries: 9 }, () => void called++);
  test.ff.use((attempt, next) => {
    if (attempt.funcName === refused.funcName) throw new Fail("not here");
    return attempt.attempt === 1 ? Promise.reject(new TypeError("not yet")) : next();
  });
  const [again, never] = await test.ff.run(() => Promise.all([work.schedule(), refused.schedule()]));

  assertEquals(await test.drain({ tasks: [work, refused] }), { completed: 1, failed: 1 });

  const records = await Promise.all([again.refresh(), never.refresh()]);
  assertEquals(records.map(({ status, retryAttempts }) => [status, retryAttempts]), [["completed", 1], ["failed", 0]]);
  assertEquals(records.map(({ errors }) => errors.map(({ message }) => message)), [["not yet"], ["not here"]]);
  assertEquals(called, 1);
});

Deno.test("middleware that hangs is ended by the timeout, and leaves the slot", async () => {
  await using test = await testInstance();
  const [slow, next] = [task({ name: taskName(), timeout: "50ms" }, () => {}), task(taskName(), () => "next")];
  test.ff.use((attempt, next) => attempt.funcName === slow.funcName ? new Promise(() => {}) : next());
  const rows = await test.ff.run(() => Promise.all([slow.schedule(), next.schedule()]));

  assertEquals(await test.drain({ tasks: [slow, next], concurrency: 1 }), { completed: 1, failed: 1 });

  assertEquals((await rows[0].refresh()).error!.name, "TimeoutError");
});

Deno.test("middleware sees arguments and results that are not valid as errors", async () => {
  await using test = await testInstance();
  const errors: unknown[] = [];
  test.ff.use((_, next) =>
    next().catch((error) => {
      errors.push(error);
      throw error;
    })
  );
  const work = task(taskName(), () => {});
  await test.db.sql`INSERT INTO firefly.task (func_name, params) VALUES (${work.funcName}, 'no base64!')`;

  await test.drain({ tasks: [work] });

  await until(() => errors.length === 1);
  assertStringIncludes(String(errors[0]), "FireflyFormatError");
});

Deno.test("use() refuses what is no function", async () => {
  await using test = await testInstance();

  assertThrows(() => test.ff.use("log" as never), TypeError, "Cannot use the middleware as it must be a function");
});
