import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { current, Fail, FireflyError, Retry, type StepInfo, task, transaction } from "../../mod.ts";
import { attempts } from "../support/attempts.ts";
import { recordOf } from "../support/records.ts";
import { gate } from "../support/step_gate.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { expireConsumer } from "../support/claiming.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";

const effect = (name: string) => current().sql`INSERT INTO effect VALUES (${name}, ${current().attempt})`;

Deno.test("step() calls its function once, and gives its result back to later attempts", async () => {
  await using t = await attempts();
  const calls: string[] = [];
  const handler = async () => {
    const { step, attempt } = current();
    const at = await step("a", () => (calls.push("a"), { when: new Date(0), big: 1n }));
    await step("b", () => Promise.resolve(void calls.push("b")));
    if (attempt === 1) throw new Error("not yet");
    return [at, await step("c", () => (calls.push("c"), attempt))];
  };

  assertEquals((await t.run(handler)).ending, "retried");
  const { ending, record } = await t.run(handler);

  assertEquals([ending, record.returned], ["completed", [{ when: new Date(0), big: 1n }, 2]]);
  assertEquals(calls, ["a", "b", "c"]);
  assertEquals(await t.steps(), ["a/ completed", "b/ completed", "c/ completed"]);
});

Deno.test("step() commits what it writes and schedules together with its result, and nothing of a step that fails", async () => {
  await using t = await testInstance();
  await t.db.sql`CREATE TABLE effect (name text, attempt int)`;
  const other = task(taskName(), () => {});
  const handler = task({ name: taskName(), maxRetries: 3, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    await step("a", async () => {
      await effect("a");
      await other.schedule();
      await transaction(async (sql) => void await sql`INSERT INTO effect VALUES ('a, nested', ${attempt})`);
    });
    await step("b", async () => {
      await effect("b");
      await other.schedule();
      if (attempt === 1) throw new Error("not yet");
    });
    await current().sql`INSERT INTO effect VALUES ('end', ${attempt})`;
  });
  const record = await t.ff.run(() => handler.schedule());

  await t.drain({ tasks: [handler, other] });

  assertEquals((await record.refresh()).status, "completed");
  const effects = await t.db.sql`SELECT name || ' ' || attempt AS text FROM effect ORDER BY attempt, name`;
  assertEquals(effects.map(({ text }) => text), ["a 1", "a, nested 1", "b 2", "end 2"]);
  assertEquals((await t.db.sql`SELECT FROM firefly.task WHERE func_name = ${other.funcName}`).count, 2);
});

Deno.test("step() refuses a step after current().sql or schedule() outside of steps, in the first run", async () => {
  await using t = await attempts();
  const { ending, record } = await t.run(async () => {
    const { step, sql } = current();
    await step("charge", () => 1);
    await sql`SELECT 1`;
    await step("ship", () => 2);
  }, { maxRetries: 0 });

  assertEquals(ending, "retried");
  assertStringIncludes(record.errors[0]!.message, `Cannot begin step "ship" as current().sql or schedule() was used`);
});

Deno.test("step() refuses a step within a step, whichever function it is called by", async () => {
  await using t = await attempts();
  const messages: string[] = [];
  await t.run(async () => {
    const { step } = current();
    await step("outer", async () => {
      for (const nested of [step, current().step]) {
        await nested("inner", () => 1).catch((error) => messages.push(error.message));
      }
    });
  });

  assertEquals(messages, Array(2).fill('Cannot begin step "inner" within step "outer": begin it after that has ended'));
});

Deno.test("step() numbers names that are used again, and refuses them while one is under way, in the first run", async () => {
  await using t = await attempts();
  const seen: string[] = [];
  const { record } = await t.run(async () => {
    const { step } = current();
    for (const key of [undefined, undefined, "x", "x"]) {
      await step({ name: "page", ...(key ? { key } : {}) }, (info) => seen.push(info.key));
    }
    const keyed = (key: string) => step({ name: "resize", key }, () => key);
    await Promise.all([keyed("1"), keyed("2")]);
    await Promise.all([step("same", () => 1), step("same", () => 2)]);
  });

  assertEquals(seen, ["", "2", "x", "x#2"]);
  assertEquals(
    record.errors[0]!.message,
    'Cannot begin step "same" as one of this name is under way: give each a key',
  );
});

Deno.test("step() gives its function the name, key, attempt and the same idempotency key in each attempt", async () => {
  await using t = await attempts();
  const infos: StepInfo[] = [];
  const handler = async () => {
    await current().step({ name: "charge", key: "k" }, (info) => {
      infos.push(info);
      throw new Error("not yet");
    });
  };
  await t.run(handler);
  await t.run(handler);

  const { id } = t;
  assertEquals(infos.map(({ name, key, attempt }) => [name, key, attempt]), [["charge", "k", 1], ["charge", "k", 2]]);
  assertEquals(infos.map(({ idempotencyKey }) => idempotencyKey), Array(2).fill(`firefly:${id}:charge:k`));
});

Deno.test("step() throws a caught failure again in a replay, and tries one again that was not caught", async () => {
  await using t = await attempts();
  const calls: string[] = [];
  const seen: unknown[] = [];
  const handler = async () => {
    const { step, attempt } = current();
    try {
      await step("charge", () => {
        calls.push("charge");
        throw Object.assign(new RangeError("declined"), { code: "card" });
      });
    } catch (error) {
      const { name, message, code } = error as Error & { code: string };
      seen.push([name, message, code]);
    }
    await step("notify", () => void calls.push("notify"));
    await step("ship", () => {
      calls.push("ship");
      if (attempt < 3) throw new Error("not yet");
    });
  };

  await t.run(handler);
  assertEquals(await t.steps(), ["charge/ failed", "notify/ completed"]);
  await t.run(handler);
  assertEquals((await t.run(handler)).ending, "completed");

  assertEquals(calls, ["charge", "notify", "ship", "ship", "ship"]);
  assertEquals(seen, Array(3).fill(["RangeError", "declined", "card"]));
});

Deno.test("a failure is not stored with a step that had begun before the handler got it", async () => {
  await using t = await attempts();
  const slow = gate();
  const calls: string[] = [];
  const handler = async () => {
    const { step, attempt } = current();
    await Promise.all([
      step("fails", () => {
        calls.push("fails");
        if (attempt === 1) throw new Error("not yet");
      }),
      step("slow", async ({ signal }) => {
        calls.push("slow");
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        await effect("slow");
        slow.open();
      }),
    ]);
  };

  assertEquals((await t.run(handler)).ending, "retried");
  assertEquals(await t.steps(), ["slow/ completed"]);
  assertEquals((await t.run(handler)).ending, "completed");
  assertEquals(calls, ["fails", "slow", "fails"]);
  assertEquals((await t.test.db.sql`SELECT FROM effect`).count, 1);
});

Deno.test("a step that fails after its handler has failed, and that nothing awaits, is no unhandled rejection", async () => {
  await using t = await attempts();
  const seen: unknown[] = [];
  const { ending, record } = await t.run(async () => {
    const { step } = current();
    const [a, b] = [
      step("a", () => Promise.reject(new Error("not yet"))),
      step("b", ({ signal }) =>
        new Promise<void>((_, reject) =>
          signal.addEventListener("abort", () => {
            seen.push(signal.reason.message);
            reject(signal.reason);
          })
        )),
    ];
    await a;
    await b;
  });

  assertEquals([ending, record.errors[0]!.message, seen], ["retried", "not yet", ["not yet"]]);
  await new Promise((resolve) => setTimeout(resolve, 10)); // for the rejection to be noticed
});

Deno.test("a task completes only when steps have ended that its handler does not await", async () => {
  await using t = await attempts();
  const sync = () => {
    void current().step("left", async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await effect("left");
    });
    return 1;
  };

  const { ending } = await t.run(sync);

  assertEquals(ending, "completed");
  assertEquals((await t.test.db.sql`SELECT FROM effect`).count, 1);
  assertEquals(await t.steps(), ["left/ completed"]);
});

Deno.test("Fail and Retry mean in a step what they mean in a handler, and after a replay, too", async () => {
  await using t = await attempts();
  const rethrow = (thrown: Error) => async () => {
    const { step, attempt } = current();
    const caught = await step("a", () => Promise.reject(thrown)).catch((error: unknown) => error);
    await step("b", () => {});
    if (attempt > 1) throw caught;
    throw new Error("not yet");
  };
  await t.run(rethrow(new Retry({ delay: "90s" })));
  assertEquals((await t.run(rethrow(new Error("other")))).ending, "snoozed");
  const { errors } = await recordOf(t.test.db, t.id);
  assertEquals((errors as { delay: number }[]).at(-1)!.delay, 90);

  await using u = await attempts();
  await u.run(rethrow(new Fail("gone")));
  const { ending, record } = await u.run(rethrow(new Error("other")));
  assertEquals([ending, record.errors.at(-1)!.message], ["failed", "gone"]);
});

Deno.test("a step that takes longer than its timeout fails with a TimeoutError, and nothing of it commits", async () => {
  await using t = await attempts();
  let late: Promise<unknown> | undefined;
  const step1 = gate();
  const { ending, record } = await t.run(async () => {
    const error = await current().step({ name: "slow", timeout: "300ms" }, async ({ signal }) => {
      await effect("slow");
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      late = (async () => {
        await step1.wait();
        await effect("late");
      })();
      await late;
    }).catch((error) => error);
    return [error.name, error.message];
  });
  step1.open();

  assertEquals([ending, record.returned], [
    "completed",
    ["TimeoutError", 'The step "slow" took longer than its timeout of 0.3 s'],
  ]);
  await assertRejects(() => late!, FireflyError, "its transaction has ended");
  assertEquals((await t.test.db.sql`SELECT FROM effect`).count, 0);
});

Deno.test("a step that outlives its attempt commits nothing: timeout, cancellation, and a rescue", async () => {
  for (const how of ["timeout", "cancel", "rescue"]) {
    await using t = await attempts();
    const { db } = t.test;
    const step = gate();
    let isOver = false;
    const { ending, consumerId } = await t.begin(async () => {
      await current().step("a", async () => {
        await effect("a");
        await step.wait();
      });
      isOver = true;
    }, how === "timeout" ? { timeout: "300ms" } : {});
    await step.reached;
    if (how === "cancel") await db.sql`SELECT firefly.cancel(${t.id})`;
    if (how === "rescue") {
      await expireConsumer(db, consumerId);
      await removeExpiredConsumers(db.store);
      await rescueTasks(db.store);
    }
    if (how === "timeout") {
      await ending;
      await until(async () => await backends(db, "idle in transaction") === 0, 10_000); // it holds no locks any more
    }
    step.open();

    assertEquals([how, await ending], [how, { timeout: "retried", cancel: "cancelled", rescue: "lost" }[how]]);
    assertEquals([(await db.sql`SELECT FROM effect`).count, await t.steps(), isOver], [0, [], false]);
  }
});

Deno.test("a step whose connection is lost ends the attempt uncounted, and its handler does not go on", async () => {
  await using t = await attempts({ max_retries: 0 });
  let isOver = false;
  const handler = async () => {
    const { step, attempt } = current();
    await step("a", async () => {
      const [{ pid }] = await current().sql`SELECT pg_backend_pid() AS pid` as [{ pid: number }];
      if (attempt === 1 && (await t.steps()).length === 0 && !isOver) {
        isOver = true;
        await t.test.db.sql`SELECT pg_terminate_backend(${pid})`;
        await current().sql`SELECT 1`;
      }
      await effect("a");
    }).catch(() => isOver = false);
    await step("b", () => {});
  };

  const first = await t.run(handler);
  assertEquals([first.ending, first.record.snoozes, isOver, await t.steps()], ["snoozed", 1, true, []]);
  assertEquals((await t.run(handler)).ending, "completed");
  assertEquals((await t.test.db.sql`SELECT FROM effect`).count, 1);
});

Deno.test("a lost COMMIT reply of a step is told from a lost step", { sanitizeOps: false }, async () => {
  for (const mode of ["mute", "hole"] as const) {
    await using t = await attempts({ max_retries: 0 });
    const { proxy, db } = t.test;
    let isLost = false;
    proxy.onRequest = (text, connection) => {
      if (isLost || !/\bCOMMIT\b/.test(text)) return;
      isLost = true;
      connection.mode = mode;
    };
    const calls: string[] = [];
    const handler = async () => {
      const { step } = current();
      await step("a", async () => {
        calls.push("a");
        await effect("a");
      });
      await step("b", () => void calls.push("b"));
    };

    const { ending } = await t.run(handler);
    assertEquals([mode, ending], [mode, mode === "mute" ? "completed" : "snoozed"]);
    if (mode === "hole") assertEquals((await t.run(handler)).ending, "completed");
    assertEquals(calls, mode === "mute" ? ["a", "b"] : ["a", "a", "b"]);
    assertEquals((await db.sql`SELECT FROM effect`).count, 1);
  }
});

Deno.test("a step waits for a database that is away, and is stored then without a second call", async () => {
  await using t = await attempts();
  const { proxy } = t.test;
  let calls = 0;
  const { ending } = await t.run(async () => {
    await current().step("a", () => {
      calls++;
      proxy.mode = "reject";
      proxy.cut();
      setTimeout(() => proxy.mode = "pass", 300);
    });
  });

  assertEquals([ending, calls, await t.steps()], ["completed", 1, ["a/ completed"]]);
});

Deno.test("a step without a transaction whose reply is lost was stored, by this attempt", async () => {
  await using t = await attempts({ max_retries: 0 });
  const { proxy } = t.test;
  let isLost = false;
  proxy.onRequest = (text, connection) => {
    if (isLost || !text.includes('"ordinal"')) return;
    isLost = true;
    connection.mode = "mute";
    void until(async () => (await t.steps()).length === 1).then(() => proxy.cut());
  };
  let calls = 0;
  const { ending } = await t.run(async () => void await current().step("a", () => void calls++));

  assertEquals([ending, isLost, calls, await t.steps()], ["completed", true, 1, ["a/ completed"]]);
});

Deno.test("a deferred constraint that COMMIT refuses is the step's failure, a division by zero as well", async () => {
  await using t = await attempts();
  await t.test.db.sql.unsafe(`
    CREATE TABLE one (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE FUNCTION divides() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 / 0; RETURN NULL; END $$;
    CREATE TABLE zero (n int);
    CREATE CONSTRAINT TRIGGER divides AFTER INSERT ON zero DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION divides();
  `);
  const { ending, record } = await t.run(async () => {
    const { step } = current();
    const codes: string[] = [];
    await step("unique", () => current().sql`INSERT INTO one VALUES (1), (1)`.then(() => {})).catch((error) =>
      codes.push(error.code)
    );
    await step("zero", () => current().sql`INSERT INTO zero VALUES (1)`.then(() => {})).catch((error) =>
      codes.push(error.code)
    );
    await step("last", () => {});
    return codes;
  });

  assertEquals([ending, record.returned], ["completed", ["23505", "22012"]]);
  assertEquals(await t.steps(), ["unique/ failed", "zero/ failed", "last/ completed"]);
});

Deno.test("a result that cannot be stored is the step's failure, and so is one that the database refuses", async () => {
  await using t = await attempts();
  const { ending, record } = await t.run(async () => {
    const { step } = current();
    const message = await step("a", () => (() => {}) as unknown as string).catch((error) => error.message);
    await step("b", () => {});
    return message;
  });
  assertEquals(ending, "completed");
  assertMatch(record.returned as string, /function/);
  assertEquals(await t.steps(), ["a/ failed", "b/ completed"]);
});

Deno.test("maxSteps ends a task with FireflyLimitError, without retries", async () => {
  await using t = await attempts();
  const handler = async () => {
    for (let i = 0;; i++) await current().step("next", () => i);
  };
  const { ending, record } = await t.run(handler, { maxSteps: 3 });

  assertEquals(ending, "failed");
  assertEquals(
    record.errors[0]!.message,
    `Cannot begin step "next" as task ${t.id} has 3 steps: schedule another task, or raise "maxSteps"`,
  );
  assertEquals(record.errors[0]!.name, "FireflyLimitError");
});

Deno.test("current().step() of a function that is called directly runs its function each time", async () => {
  const keys = new Set<string>();
  const call = () => current().step({ name: "a", timeout: 5 }, ({ idempotencyKey }) => void keys.add(idempotencyKey));
  await call();
  await call();

  assertEquals(keys.size, 2);
  assertEquals(current().version, Infinity);
  await assertRejects(
    () => current().step({ name: "late", timeout: "10ms" }, () => new Promise<void>((r) => setTimeout(r, 50))),
    DOMException,
    "took longer",
  );
  await new Promise((resolve) => setTimeout(resolve, 60)); // its timer must have ended
});

Deno.test("step() refuses options that it does not know, names and keys that cannot be stored", async () => {
  const { step } = current();
  const bad = (spec: unknown, fn: unknown = () => {}) => step(spec as string, fn as () => void);
  await assertRejects(() => bad(7), TypeError, "step(name, fn)");
  await assertRejects(() => bad(""), TypeError, "1 to 200 characters");
  await assertRejects(() => bad("a\0"), TypeError, "without NUL");
  await assertRejects(() => bad({ name: "a", maxRetry: 1 }), TypeError, "maxRetry");
  await assertRejects(() => bad({ name: "a", key: "" }), RangeError, "1 to 1000 bytes");
  await assertRejects(() => bad({ name: "a", timeout: 0 }), RangeError, "longer than 0");
  await assertRejects(() => bad("a", 7), TypeError, "not a function");
});

Deno.test("tasks.steps() and record.steps() read steps with their results, times and errors", async () => {
  await using t = await testInstance();
  const handler = task(taskName(), async () => {
    const { step } = current();
    await step("a", () => Promise.reject(new Error("no"))).catch(() => {});
    await step("b", () => new Map([["x", 1]]));
  });
  const record = await t.ff.run(() => handler.schedule());
  await t.drain({ tasks: [handler] });

  const steps = await record.steps();

  assertEquals(
    steps.map(({ name, key, status, seq, version, attempt, returned, error }) => ({
      ...{ name, key, status, seq, version, attempt, returned },
      error: error && [error.message, error.attempt],
    })),
    [
      { name: "a", key: "", status: "failed", seq: 1, version: 1, attempt: 1, returned: undefined, error: ["no", 1] },
      {
        name: "b",
        key: "",
        status: "completed",
        seq: 2,
        version: 1,
        attempt: 1,
        returned: new Map([["x", 1]]),
        error: null,
      },
    ],
  );
  assert(steps.every(({ began, ended }) => began <= ended! && ended!.getTime() - record.created.getTime() < 60_000));
  assertEquals((await t.ff.tasks.steps(record.id)).length, 2);
  assertEquals(await t.ff.tasks.steps(record.id + 1), []);
  const [row] = await t.db.sql`SELECT returned FROM firefly.step_json WHERE name = 'b'`;
  assertEquals(row!.returned, [["x", 1]]);
});

Deno.test("retry() of a task that failed goes on behind the steps that have run", async () => {
  await using t = await testInstance();
  const calls: string[] = [];
  const handler = task(taskName(), async () => {
    const { step } = current();
    await step("a", () => void calls.push("a"));
    await step("b", () => {
      if (calls.push("b") === 2) throw new Fail("not today");
    });
  });
  const record = await t.ff.run(() => handler.schedule());
  await t.drain({ tasks: [handler] });
  assertEquals((await record.refresh()).status, "failed");

  await record.retry();
  await t.drain({ tasks: [handler] });

  assertEquals([(await record.refresh()).status, calls], ["completed", ["a", "b", "b"]]);
});

Deno.test("a failure that was decided is decided anew once its row, and those after it, are deleted", async () => {
  await using t = await testInstance();
  let tries = 0;
  const handler = task(taskName(), async () => {
    const { step } = current();
    await step("before", () => {});
    try {
      return await step("charge", () => {
        if (++tries === 1) throw new Error("declined");
        return "charged";
      });
    } catch (error) {
      await step("notify", () => {});
      throw error;
    }
  });
  const record = await t.ff.run(() => handler.schedule());
  await t.drain({ tasks: [handler] });
  await record.retry();
  await t.drain({ tasks: [handler] });
  assertEquals([(await record.refresh()).status, tries], ["failed", 1]);

  await t.db.sql`DELETE FROM firefly.step WHERE task_id = ${record.id} AND seq >= 2`;
  await record.retry();
  await t.drain({ tasks: [handler] });

  assertEquals([await record.result(), tries], ["charged", 2]);
});

Deno.test("an attempt whose step another has stored loses its task, which then goes on with that result", async () => {
  await using t = await testInstance();
  let calls = 0;
  const step = gate();
  const handler = task(taskName(), async () =>
    await current().step("a", async () => {
      calls++;
      await step.wait();
      return "own";
    }));
  const record = await t.ff.run(() => handler.schedule());
  const lost = Promise.withResolvers<void>();
  t.ff.on("lost", () => lost.resolve());
  await using _consumer = t.ff.consume({ tasks: [handler], lease: "2s", watchdog: false });
  await step.reached;
  await t.db.sql`
    INSERT INTO firefly.step (task_id, name, status, seq, attempt, began, ended, returned)
    VALUES (${record.id}, 'a', 'completed', 1, 1, now(), now(), firefly.encode('"another"'))
  `;
  step.open();
  await lost.promise;

  assertEquals([await record.result({ timeout: "30s" }), calls], ["another", 1]);
});

Deno.test("results of steps are encrypted, and steps are deleted with their task", async () => {
  const key = btoa(String.fromCharCode(...new Uint8Array(32)));
  await using t = await testInstance({ encryption: { keys: { k: key }, current: "k" } });
  let calls = 0;
  const handler = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    const secret = await step("a", () => (calls++, "s3cr3t"));
    if (attempt === 1) throw new Error("not yet");
    return secret;
  });
  const record = await t.ff.run(() => handler.schedule());
  await t.drain({ tasks: [handler] });

  assertEquals([await record.result(), calls], ["s3cr3t", 1]);
  const [{ returned }] = await t.db.sql`SELECT returned FROM firefly.step` as unknown as [{ returned: string }];
  assertStringIncludes(atob(returned), '{"$":"Encrypted","key":"k"');
  assertEquals((await record.steps())[0]!.returned, "s3cr3t");

  await record.delete();
  await until(async () => (await t.db.sql`SELECT FROM firefly.step`).count === 0);
});
