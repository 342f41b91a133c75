import { context, trace } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { current, Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { collectSpans, linksOf, traceparentOf } from "../support/spans.ts";
import { until } from "../support/waiting.ts";

const [WORK, NEXT, PLAIN, UNIQUE, LIMITED, FAILING, REPLACED, CRON] = Array.from({ length: 8 }, taskName) as Eight;
type Eight = [string, string, string, string, string, string, string, string];

const next = task(NEXT, () => {});
const work = task({ name: WORK, maxRetries: 1, retryDelay: 0 }, async (secret: string) => {
  await current().sql`SELECT ${secret}::text`;
  await next.schedule();
  if (current().attempt === 1) throw new Error("not yet");
});
const plain = task(PLAIN, (_: number) => {});
const unique = task({ name: UNIQUE, unique: true }, (_: number) => {});
const replaced = task({ name: REPLACED, unique: { key: "one", onConflict: "replace" } }, (_: number) => {});
const limited = task({ name: LIMITED, concurrency: { limit: 5 } }, (_: number) => {});
const failing = task(FAILING, () => {
  throw new TypeError("for good");
});

const SQL_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const NO_PARENTS = [
  "00-no-trace",
  SQL_PARENT.replace(/^00/, "ff"),
  SQL_PARENT.replace(/0af7[^-]+/, "0".repeat(32)),
  SQL_PARENT.replace(/b7ad[^-]+/, "0".repeat(16)),
  `${SQL_PARENT}-more`,
  SQL_PARENT.toUpperCase(),
];

Deno.test("a task is traced from the code that schedules it to the statements of each attempt", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const request = trace.getTracer("app").startActiveSpan("request", async (span) => {
    const record = await t.ff.run(() => work.schedule("s3cr3t"));
    span.end();
    return { span, record };
  });
  const { span, record } = await request;

  // A consumer may start inside a span: its attempts are no part of that.
  await trace.getTracer("app").startActiveSpan(
    "start",
    async () => await t.drain({ queues: "default", tasks: [work] }),
  );

  const [schedule] = spans.named(`schedule ${WORK}`) as [ReadableSpan];
  assertEquals(schedule.parentSpanContext?.spanId, span.spanContext().spanId);
  assertEquals(schedule.kind, 3);
  assertEquals(schedule.attributes, {
    "messaging.system": "firefly",
    "messaging.operation.name": "schedule",
    "messaging.operation.type": "send",
    "messaging.destination.name": "default",
    "messaging.message.id": String(record.id),
    "firefly.task.name": WORK,
  });
  assertEquals(record.traceparent, traceparentOf(schedule));
  assertEquals((await record.refresh()).traceparent, traceparentOf(schedule));

  const attempts = spans.named(`attempt ${WORK}`);
  assertEquals(attempts.map(linksOf), [[traceparentOf(schedule)], [traceparentOf(schedule)]]);
  assertEquals(attempts.map(({ parentSpanContext }) => parentSpanContext), [undefined, undefined]);
  assertEquals(attempts.map(({ status }) => status), [{ code: 2, message: "not yet" }, { code: 0 }]);
  assertEquals(attempts.map(({ attributes }) => attributes["firefly.task.outcome"]), ["retried", "completed"]);
  assertEquals(attempts.map(({ attributes }) => attributes["firefly.task.attempt"]), [1, 2]);
  assertEquals(attempts[0]!.events.map(({ name, attributes }) => [name, attributes?.["exception.message"]]), [
    ["exception", "not yet"],
  ]);
  assertEquals(attempts.map(({ kind, attributes }) => [kind, attributes["messaging.operation.type"]]), [
    [4, "process"],
    [4, "process"],
  ]);

  const inAttempts = attempts.map((attempt) => attempt.spanContext().spanId);
  const statements = spans.named("SELECT");
  assertEquals(statements.map(({ parentSpanContext }) => parentSpanContext?.spanId), inAttempts);
  assertEquals(statements[0]!.attributes, {
    "db.system.name": "postgresql",
    "db.operation.name": "SELECT",
    "db.query.text": "SELECT $1::text",
  });
  assertEquals(spans.named(`schedule ${NEXT}`).map(({ parentSpanContext }) => parentSpanContext?.spanId), inAttempts);

  const claims = spans.named("claim");
  assertEquals(claims.map(({ name, attributes }) => [name, attributes["messaging.batch.message_count"]]), [
    ["claim default", 1],
    ["claim default", 1],
  ]);
  assertEquals(claims.map(linksOf), [[traceparentOf(schedule)], [traceparentOf(schedule)]]);
  for (const { startTime, endTime, name } of [...attempts, ...statements, ...claims]) {
    const [from, to] = [startTime, endTime].map(([seconds, nanos]) => seconds + nanos / 1e9) as [number, number];
    assert(to >= from && Math.abs(Date.now() / 1000 - to) < 600, `${name} has the times of a clock`);
  }
  assert(!JSON.stringify(statements.map(({ attributes }) => attributes)).includes("s3cr3t"));
});

Deno.test("every way to schedule a task stores its own span, which an attempt finds", async () => {
  const encryption = { keys: { a: btoa("k".repeat(32)) }, current: "a" };
  await using t = await testInstance({ encryption });
  using spans = collectSpans();
  const records = await t.ff.run(async () => [
    ...await Promise.all([1, 2, 3].map((i) => plain.schedule(i))), // one statement for three calls
    ...await plain.scheduleMany([[4], [5]]),
    await plain.with({ delay: 0.001 }).schedule(6),
    ...await plain.with({ delay: 0.001 }).scheduleMany([[7], [8]]),
    ...await unique.scheduleMany([[9], [10]]),
    ...await limited.scheduleMany([[11], [12]]),
    await replaced.schedule(0).then(() => replaced.schedule(1)).then((record) => record.refresh()),
    await t.ff.transaction(async () => await plain.schedule(13)),
  ]);
  const [wrong] = await t.ff.sql<{ id: string }>`
    INSERT INTO firefly.task (func_name, traceparent) VALUES (${PLAIN}, 'none of these') RETURNING id
  `;
  const bySql = await Promise.all(
    [SQL_PARENT, ...NO_PARENTS, null].flatMap((traceparent) =>
      [null, `${traceparent}`].map(async (key) => {
        const [row] = await t.ff.sql<{ id: string }>`
          SELECT firefly.schedule(${PLAIN}, unique_key => ${key}, traceparent => ${traceparent}) AS id
        `;
        return [Number(row!.id), traceparent === SQL_PARENT ? SQL_PARENT : null] as const;
      })
    ),
  );

  const stored = new Map(records.map(({ id, traceparent }) => [id, traceparent]));
  for (const [id, traceparent] of bySql) stored.set(id, traceparent);
  const rows = await t.ff.sql<{ id: string; traceparent: string | null }>`
    SELECT id, traceparent FROM firefly.task_record WHERE id <> ${wrong!.id}
  `;
  assertEquals(new Map(rows.map(({ id, traceparent }) => [Number(id), traceparent])), stored);
  const scheduled = spans.named("schedule").map(traceparentOf);
  const [overwritten] = spans.named(`schedule ${REPLACED}`).map(traceparentOf);
  const kept = scheduled.filter((traceparent) => traceparent !== overwritten);
  assertEquals(new Set(records.map(({ traceparent }) => traceparent)), new Set(kept));
  assertEquals(kept.length, 10);

  await t.drain({ tasks: [plain, unique, limited, replaced] });

  const attempts = spans.named("attempt");
  assertEquals(attempts.length, stored.size + 1);
  for (const attempt of attempts) {
    const traceparent = stored.get(Number(attempt.attributes["messaging.message.id"])) ?? null;
    assertEquals(linksOf(attempt), traceparent === null ? [] : [traceparent]);
  }
});

Deno.test("a call that schedules more than a hundred tasks stores its span with the first hundred", async () => {
  await using t = await testInstance();
  using spans = collectSpans();

  const records = await t.ff.run(() => plain.scheduleMany(Array.from({ length: 103 }, (_, i) => [i])));

  const [schedule] = spans.named("schedule") as [ReadableSpan];
  assertEquals(schedule.attributes["messaging.batch.message_count"], 103);
  const expected = [...Array(100).fill(traceparentOf(schedule)), null, null, null];
  assertEquals(records.map(({ traceparent }) => traceparent), expected);
  const rows = await t.ff.sql<{ traceparent: string | null }>`SELECT traceparent FROM firefly.task_record ORDER BY id`;
  assertEquals(rows.map(({ traceparent }) => traceparent), expected);
});

Deno.test("a claim has links to the spans that scheduled its tasks, each once, up to a hundred", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  await t.ff.run(() => plain.scheduleMany([[1], [2]]));
  await t.ff.run(() => Promise.all(Array.from({ length: 110 }, (_, i) => plain.schedule(i))));
  await t.ff.sql`INSERT INTO firefly.task (func_name, traceparent) VALUES (${PLAIN}, 'none of these')`;

  await t.drain({ tasks: [plain], concurrency: 200 });

  const scheduled = new Set(spans.named("schedule").map(traceparentOf));
  const [claim, ...others] = spans.named("claim") as [ReadableSpan];
  assertEquals([claim.attributes["messaging.batch.message_count"], others.length], [113, 0]);
  const links = linksOf(claim);
  assertEquals([links.length, new Set(links).size, links.every((link) => scheduled.has(link))], [100, 100, true]);
});

Deno.test("a dependant's attempt has links to the spans that scheduled it and its dependencies, each once", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const [first, second] = await t.ff.run(() => Promise.all([plain.schedule(1), plain.schedule(2)]));
  const [bySql] = await t.ff.sql<{ id: string }>`SELECT firefly.schedule(${PLAIN}) AS id`; // without a span
  await t.ff.run(() => next.with({ after: [first!, second!, Number(bySql!.id), first!] }).schedule());
  await t.ff.run(() => next.with({ after: [first!] }).schedule());

  await t.drain({ tasks: [plain, next] });

  const scheduled = spans.named("schedule").map(traceparentOf);
  const [both, own, last] = [scheduled.slice(0, -2), scheduled.at(-2)!, scheduled.at(-1)!];
  const links = spans.named(`attempt ${NEXT}`).map((attempt) => linksOf(attempt));
  assertEquals(links.map((each) => each[0]).sort(), [own, last].sort());
  const [joined, single] = [own, last].map((span) => links.find((each) => each[0] === span)!) as [string[], string[]];
  assertEquals(joined.slice(1), both);
  assertEquals(single.slice(1), [both[0]]);
  const claims = spans.named("claim").flatMap(linksOf);
  assertEquals(new Set(claims), new Set(scheduled));
});

Deno.test("a cron's tasks are linked to a root span that names the cron, made by the consumer that fired the slot", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  let ran = 0;
  const tick = task({ name: CRON, cron: "* * * * * *" }, () => ++ran);
  const consumers = trace.getTracer("app").startActiveSpan(
    "start",
    () => [1, 2].map(() => t.ff.consume({ tasks: [tick] })),
  );
  await until(() => ran >= 2);
  for (const consumer of consumers) await consumer.stop();

  const rows = await t.ff.sql<{ traceparent: string }>`SELECT traceparent FROM firefly.task_record ORDER BY id`;
  const fired = spans.named(`schedule ${CRON}`);
  assertEquals(fired.map(traceparentOf), rows.map(({ traceparent }) => traceparent));
  for (const { kind, parentSpanContext, attributes } of fired) {
    assertEquals([kind, parentSpanContext], [3, undefined]);
    assertEquals(attributes, {
      "messaging.system": "firefly",
      "messaging.operation.name": "schedule",
      "messaging.operation.type": "send",
      "messaging.destination.name": "default",
      "firefly.task.name": CRON,
      "firefly.cron.name": CRON,
      "firefly.cron.expression": "* * * * * *",
    });
  }
  const [attempt] = spans.named(`attempt ${CRON}`) as [ReadableSpan];
  assertEquals(linksOf(attempt), [rows[0]!.traceparent]);
});

Deno.test("tracing: { attempts: child } continues the trace of the schedule, unless that is not sampled", async () => {
  await using t = await testInstance({ tracing: { attempts: "child" } });
  using spans = collectSpans();
  await t.ff.run(() => plain.schedule(1));
  await t.ff.sql`SELECT firefly.schedule(${PLAIN}, traceparent => ${SQL_PARENT.replace(/1$/, "0")})`;

  await t.drain({ tasks: [plain] });

  const [schedule, attempt, ...others] = spans.named("").filter(({ name }) => !name.startsWith("claim"));
  assertEquals(others, []);
  assertEquals(attempt!.parentSpanContext?.spanId, schedule!.spanContext().spanId);
  assertEquals(attempt!.spanContext().traceId, schedule!.spanContext().traceId);
  assertEquals(linksOf(attempt!), [traceparentOf(schedule!)]);
});

Deno.test("beyond attemptsPerSecond, attempts that fail still have spans, and the next span counts the others", async () => {
  await using t = await testInstance({ tracing: { attemptsPerSecond: 1 } });
  using spans = collectSpans();
  await t.ff.run(() => plain.scheduleMany(Array.from({ length: 50 }, (_, i) => [i])));
  await t.ff.run(() => failing.with({ priority: -1 }).schedule());

  await t.drain({ tasks: [plain, failing] });

  const attempts = spans.named("attempt");
  const failed = attempts.filter(({ name }) => name === `attempt ${FAILING}`);
  assertEquals(failed.length, 1);
  assertEquals(failed[0]!.attributes["error.type"], "TypeError");
  const skipped = attempts.reduce(
    (sum, { attributes }) => sum + Number(attributes["firefly.attempts.skipped"] ?? 0),
    0,
  );
  assertEquals(attempts.length + skipped, 51);
  assert(attempts.length < 30, `${attempts.length} attempts had spans`);
});

Deno.test("without a provider, or with tracing: false, nothing is stored or traced", async () => {
  await using t = await testInstance({ tracing: false });
  {
    using spans = collectSpans();
    await t.ff.run(() => work.schedule(""));
    await t.drain({ tasks: [work] });
    assertEquals(spans.named("").map(({ name }) => name), []);
  }
  await using off = await testInstance();
  const record = await off.ff.run(() => plain.schedule(1));
  assertEquals(record.traceparent, null);
  await off.drain({ tasks: [plain] });
  assertEquals((await record.refresh()).status, "completed");
});

Deno.test("without a context manager, attempts have spans, and statements have none", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  context.disable();
  await t.ff.run(() => work.schedule(""));

  await t.drain({ tasks: [work] });

  assertEquals(spans.named("attempt").map(({ links }) => links.length), [1, 1]);
  assertEquals(spans.named("SELECT"), []);
});

Deno.test("a provider of another major version of OpenTelemetry's API is left alone", async () => {
  await using t = await testInstance();
  const api = { version: "2.0.0", trace: { getTracer: () => assert(false, "it was asked for a tracer") } };
  const globals = globalThis as Record<symbol, unknown>;
  const other = Symbol.for("opentelemetry.js.api.2");
  globals[other] = api;
  try {
    const record = await t.ff.run(() => plain.schedule(1));
    await t.drain({ tasks: [plain] });

    assertEquals((await record.refresh()).status, "completed");
    assertEquals(record.traceparent, null);
    using spans = collectSpans(); // of version 1, beside it
    assertEquals((await t.ff.run(() => plain.schedule(2))).traceparent, spans.named("schedule").map(traceparentOf)[0]);
  } finally {
    delete globals[other];
  }
});

Deno.test("an instance refuses wrong options of tracing", () => {
  const refused = (tracing: unknown) => assertThrows(() => new Firefly({ tracing: tracing as boolean }), Error).message;
  assertStringIncludes(refused("yes"), '"tracing" must be true, false or an object');
  assertStringIncludes(refused({ attempts: "parent" }), '"tracing.attempts" must be "link" or "child"');
  assertStringIncludes(
    refused({ attemptsPerSecond: -1 }),
    '"tracing.attemptsPerSecond" must be a non-negative integer',
  );
  assertStringIncludes(refused({ attempt: "link" }), 'did you mean "attempts"');
});
