import { assert, assertEquals } from "@std/assert";

/** A span in OTLP's JSON, as far as tests read it. */
export interface OtlpSpan {
  name: string;
  kind: number;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  events?: { name: string }[];
  links?: { traceId: string; spanId: string }[];
  attributes: { key: string; value: { stringValue?: string } }[];
}

/** Receives the spans of Firefly over OTLP/HTTP, as a collector does. */
export function startReceiver() {
  const spans: OtlpSpan[] = [];
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    const body = await request.text();
    if (new URL(request.url).pathname === "/v1/traces") {
      for (const { scopeSpans } of JSON.parse(body).resourceSpans) {
        for (const { scope, spans: some } of scopeSpans) if (scope.name === "@firefly/tasks") spans.push(...some);
      }
    }
    return Response.json({});
  });
  return { spans, url: `http://127.0.0.1:${server.addr.port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

/** How many spans `traced_program.ts` has. */
export const SPANS = 7;

/** Asserts that these are the spans of `traced_program.ts`, linked to one another; returns that of the first attempt. */
export function assertLinked(spans: readonly OtlpSpan[]): OtlpSpan {
  const names = ["schedule test.traced", "attempt test.traced", "step greet", "SELECT", "claim default"];
  const counts = names.map((name) => spans.filter((span) => span.name === name).length);
  assertEquals([counts, spans.length], [[1, 2, 1, 1, 2], SPANS], spans.map(({ name }) => name).join());
  const inOrder = spans.toSorted((a, b) => Number(a.startTimeUnixNano) - Number(b.startTimeUnixNano));
  const [[schedule], [attempt, later], [step], [statement], [claim, next]] = names.map((name) =>
    inOrder.filter((span) => span.name === name)
  ) as OtlpSpan[][] as Located;
  const links = ({ links = [] }: OtlpSpan) => links.map(({ traceId, spanId }) => [traceId, spanId]);
  assertEquals([attempt, claim].map(links), Array(2).fill([[schedule.traceId, schedule.spanId]]));
  assertEquals([later, next].map(links), Array(2).fill([[attempt.traceId, attempt.spanId]]));
  assertEquals([step, statement].map(({ parentSpanId }) => parentSpanId), [attempt.spanId, step.spanId]);
  assertEquals([step, statement].map(({ traceId }) => traceId), [attempt.traceId, attempt.traceId]);
  // OTLP counts from 1.
  assertEquals([schedule, attempt, step, statement, claim].map(({ kind }) => kind), [4, 5, 1, 3, 3]);
  for (const { name, startTimeUnixNano, endTimeUnixNano } of spans) {
    const [start, end] = [startTimeUnixNano, endTimeUnixNano].map((nanos) => Number(nanos) / 1e6) as [number, number];
    assert(Math.abs(Date.now() - start) < 600_000 && end >= start, `${name} has the times of a clock`);
  }
  const outcomeOf = ({ attributes }: OtlpSpan) =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue]));
  assertEquals(outcomeOf(attempt)["messaging.system"], "firefly");
  assertEquals([attempt, later].map((span) => outcomeOf(span)["firefly.task.outcome"]), ["suspended", "completed"]);
  assertEquals(outcomeOf(step)["firefly.step.outcome"], "completed");
  assertEquals(attempt.events?.map(({ name }) => name), ["suspended"]);
  return attempt;
}

/** The spans, by their names, in the order in which they began. */
type Located = [
  schedules: [OtlpSpan],
  attempts: [OtlpSpan, OtlpSpan],
  steps: [OtlpSpan],
  statements: [OtlpSpan],
  claims: [OtlpSpan, OtlpSpan],
];
