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

/** Asserts that these are the spans of `traced_program.ts`, linked to one another; returns that of the attempt. */
export function assertLinked(spans: readonly OtlpSpan[]): OtlpSpan {
  const names = ["schedule test.traced", "attempt test.traced", "SELECT", "claim default"];
  assertEquals(spans.map(({ name }) => name).sort(), [...names].sort());
  const [schedule, attempt, statement, claim] = names.map((name) => spans.find((span) => span.name === name)!) as [
    OtlpSpan,
    OtlpSpan,
    OtlpSpan,
    OtlpSpan,
  ];
  const links = ({ links = [] }: OtlpSpan) => links.map(({ traceId, spanId }) => [traceId, spanId]);
  assertEquals(links(attempt), [[schedule.traceId, schedule.spanId]]);
  assertEquals(links(claim), [[schedule.traceId, schedule.spanId]]);
  assertEquals(statement.parentSpanId, attempt.spanId);
  assertEquals(statement.traceId, attempt.traceId);
  assertEquals([schedule, attempt, statement, claim].map(({ kind }) => kind), [4, 5, 3, 3]); // OTLP counts from 1
  for (const { name, startTimeUnixNano, endTimeUnixNano } of spans) {
    const [start, end] = [startTimeUnixNano, endTimeUnixNano].map((nanos) => Number(nanos) / 1e6) as [number, number];
    assert(Math.abs(Date.now() - start) < 600_000 && end >= start, `${name} has the times of a clock`);
  }
  const attributes = new Map(attempt.attributes.map(({ key, value }) => [key, value.stringValue]));
  assertEquals(attributes.get("messaging.system"), "firefly");
  assertEquals(attributes.get("firefly.task.outcome"), "completed");
  return attempt;
}
