import { context } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";
import { assert, assertEquals } from "@std/assert";
import { current, type Events, signal, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { collectSpans, linksOf, traceparentOf } from "../support/spans.ts";
import { until } from "../support/waiting.ts";

const parentOf = ({ parentSpanContext }: ReadableSpan) => parentSpanContext?.spanId;
const idOf = (span: ReadableSpan) => span.spanContext().spanId;

Deno.test("a step that runs has a span under its attempt, with what it does below it; a result that is given back has none", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const other = task(taskName(), () => {});
  const work = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    await step({ name: "charge", key: "7" }, () => new Promise((resolve) => setTimeout(resolve, 20)));
    await step("book", async () => {
      await current().sql`SELECT ${attempt}::int`;
      await other.schedule();
      if (attempt === 1) throw new TypeError("full");
    });
  });
  const record = await t.ff.run(() => work.schedule());

  await t.drain({ tasks: [work, other] });

  const attempts = spans.named(`attempt ${work.funcName}`);
  const [charge, ...others] = spans.named("step charge") as [ReadableSpan];
  assertEquals([parentOf(charge), others.length], [idOf(attempts[0]!), 0]);
  assertEquals([charge.kind, charge.status.code], [0, 0]);
  assertEquals(charge.attributes, {
    "firefly.step.name": "charge",
    "firefly.step.key": "7",
    "firefly.step.kind": "step",
    "firefly.step.outcome": "completed",
    "firefly.task.name": work.funcName,
    "firefly.task.attempt": 1,
    "messaging.message.id": String(record.id),
  });
  assert(charge.duration[0] * 1000 + charge.duration[1] / 1e6 >= 15, `it lasted ${charge.duration}`);
  const books = spans.named("step book");
  assertEquals(books.map(parentOf), attempts.map(idOf));
  assertEquals(books.map(({ status }) => status), [{ code: 2, message: "full" }, { code: 0 }]);
  assertEquals(books.map(({ attributes }) => attributes["firefly.step.outcome"]), ["failed", "completed"]);
  assertEquals(books.map(({ attributes }) => attributes["error.type"]), ["TypeError", undefined]);
  assertEquals(spans.named("SELECT").map(parentOf), books.map(idOf));
  assertEquals(spans.named(`schedule ${other.funcName}`).map(parentOf), books.map(idOf));
});

Deno.test("steps that run at the same time have spans of their own, each with what it does below it", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const work = task(taskName(), async () => {
    const { step } = current();
    await Promise.all(["a", "b", "c"].map((key) => step({ name: "part", key }, () => current().sql`SELECT 1`)));
  });
  await t.ff.run(() => work.schedule());

  await t.drain({ tasks: [work] });

  const parts = spans.named("step part");
  assertEquals(parts.map(({ attributes }) => attributes["firefly.step.key"]).sort(), ["a", "b", "c"]);
  assertEquals(spans.named("SELECT").map(parentOf).sort(), parts.map(idOf).sort());
});

Deno.test("an attempt has spans of a hundred steps, and says how many had none", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const work = task(taskName(), async () => {
    for (let i = 0; i < 103; i++) await current().step("part", () => {});
  });
  await t.ff.run(() => work.schedule());

  await t.drain({ tasks: [work] });

  assertEquals(spans.named("step part").length, 100);
  assertEquals(spans.named("attempt").map(({ attributes }) => attributes["firefly.steps.skipped"]), [3]);
});

Deno.test("steps have no spans without a context manager, and where their attempt has none", async () => {
  await using t = await testInstance({ tracing: { attemptsPerSecond: 0 } });
  await using u = await testInstance();
  using spans = collectSpans();
  const work = task(taskName(), () => current().step("part", () => {}));
  await t.ff.run(() => work.schedule());
  await t.drain({ tasks: [work] });
  assertEquals(spans.named("step"), []);
  context.disable();
  await u.ff.run(() => work.schedule());

  await u.drain({ tasks: [work] });

  assertEquals([spans.named("attempt").length, spans.named("step").length], [1, 0]);
});

Deno.test("a suspended attempt has an event, and the attempt that follows has a link to it", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const work = task(taskName(), async () => {
    const { step } = current();
    await step("charge", () => {});
    await step.sleep("nap", 1);
    await step.waitFor(signal("approved"));
    await step("ship", () => {});
  });
  const record = await t.ff.run(() => work.schedule());
  const suspended: Events["suspended"][] = [];
  t.ff.on("suspended", (detail) => suspended.push(detail));
  await using _consumer = t.ff.consume({ tasks: [work] });
  await until(() => suspended.length === 2);
  await record.signal(signal("approved"));
  await record.result();

  const attempts = spans.named("attempt");
  assertEquals(attempts.map(({ attributes }) => attributes["firefly.task.outcome"]), [
    "suspended",
    "suspended",
    "completed",
  ]);
  const [schedule] = spans.named("schedule") as [ReadableSpan];
  const before = [schedule, ...attempts.slice(0, -1)].map(traceparentOf);
  assertEquals(attempts.map(linksOf), before.map((each) => [each]));
  assertEquals((await record.refresh()).traceparent, before.at(-1));
  assertEquals(attempts.map(({ status }) => status.code), [0, 0, 0]);
  const events = attempts.flatMap(({ events }) => events);
  assertEquals(events.map(({ name }) => name), ["suspended", "suspended"]);
  assertEquals(events[1]!.attributes, { "firefly.suspended.signals": ["approved"] });
  const until1 = String(events[0]!.attributes!["firefly.suspended.until"]);
  assert(Math.abs(Date.parse(until1) - Date.now()) < 600_000, until1);
  assertEquals(spans.named("step").map(({ name }) => name), ["step charge", "step ship"]);
});

Deno.test("a call has a span of its step, under which its tasks are scheduled, and their attempts have links to that", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const label = task(taskName(), (parcel: number) => parcel);
  const work = task(taskName(), async () => await current().step.callMany(label, [[1], [2]]));
  const record = await t.ff.run(() => work.schedule());
  const suspended: Events["suspended"][] = [];
  t.ff.on("suspended", (detail) => suspended.push(detail));

  await t.drain({ tasks: [work, label] });

  assertEquals((await record.refresh()).returned, [1, 2]);
  const [first] = spans.named(`attempt ${work.funcName}`) as [ReadableSpan];
  const [call, ...others] = spans.named("step") as [ReadableSpan];
  assertEquals([call.name, others.length, parentOf(call)], [`step ${label.funcName}`, 0, idOf(first)]);
  assertEquals([call.attributes["firefly.step.kind"], call.attributes["firefly.step.outcome"]], ["call", "waiting"]);
  const [schedule] = spans.named(`schedule ${label.funcName}`) as [ReadableSpan];
  assertEquals(parentOf(schedule), idOf(call));
  const callees = spans.named(`attempt ${label.funcName}`);
  assertEquals(callees.map(linksOf), [[traceparentOf(schedule)], [traceparentOf(schedule)]]);
  assertEquals(first.events.map(({ attributes }) => attributes), [{ "firefly.suspended.tasks": 2 }]);
  assertEquals(suspended.map(({ tasks }) => tasks.length), [2]);
});

Deno.test("a step that is tried again has a span for each run, and reports that it is", async () => {
  await using t = await testInstance();
  using spans = collectSpans();
  const retried: Events["step.retried"][] = [];
  t.ff.on("step.retried", (detail) => retried.push(detail));
  let runs = 0;
  const work = task(taskName(), async () => {
    await current().step({ name: "charge", maxRetries: 2, retryDelay: 0.1 }, () => {
      if (++runs < 3) throw new TypeError(`run ${runs}`);
    });
  });
  const record = await t.ff.run(() => work.schedule());
  await using _consumer = t.ff.consume({ tasks: [work] });

  await record.result();

  assertEquals(retried.map(({ step, delay, attempt }) => [step, delay, attempt]), [["charge", 0.1, 1], [
    "charge",
    0.1,
    1,
  ]]);
  const outcomes = spans.named("step charge").map(({ attributes, status }) => [
    attributes["firefly.step.outcome"],
    status.message,
  ]);
  assertEquals(outcomes, [["retried", "run 1"], ["retried", "run 2"], ["completed", undefined]]);
});
