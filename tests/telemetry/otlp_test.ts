import { assert, assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";

const PROGRAM = new URL("../support/traced_program.ts", import.meta.url).pathname;

/** A span in OTLP's JSON, as far as the test reads it. */
interface OtlpSpan {
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

/** Receives spans over OTLP/HTTP, as a collector does. */
function startReceiver() {
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

Deno.test("Deno's exporter sends the spans of a task over OTLP, with links, and without an import of OpenTelemetry", async () => {
  await using db = await testDatabase();
  await using receiver = startReceiver();
  const program = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", PROGRAM, db.url],
    env: {
      OTEL_DENO: "true",
      OTEL_DENO_CONSOLE: "ignore",
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRICS_EXPORTER: "none",
    },
    stderr: "inherit",
  });
  const { stdout, success } = await program.output();
  assertEquals(success, true);
  await until(() => receiver.spans.length >= 4);

  const [schedule, attempt, statement, claim] = [
    "schedule test.traced",
    "attempt test.traced",
    "SELECT",
    "claim default",
  ]
    .map((name) => receiver.spans.find((span) => span.name === name)!) as [OtlpSpan, OtlpSpan, OtlpSpan, OtlpSpan];
  assertEquals(receiver.spans.length, 4);
  assertEquals(attempt.links?.map(({ traceId, spanId }) => [traceId, spanId]), [[schedule.traceId, schedule.spanId]]);
  assertEquals(statement.parentSpanId, attempt.spanId);
  assertEquals([schedule, attempt, statement, claim].map(({ kind }) => kind), [4, 5, 3, 3]); // OTLP counts from 1
  for (const { name, startTimeUnixNano, endTimeUnixNano } of receiver.spans) {
    const [start, end] = [startTimeUnixNano, endTimeUnixNano].map((nanos) => Number(nanos) / 1e6) as [number, number];
    assert(Math.abs(Date.now() - start) < 600_000 && end >= start, `${name} has the times of a clock`);
  }
  const attributes = new Map(attempt.attributes.map(({ key, value }) => [key, value.stringValue]));
  assertEquals(attributes.get("messaging.system"), "firefly");
  assertEquals(attributes.get("firefly.task.outcome"), "completed");
  assertEquals(new TextDecoder().decode(stdout).trim(), attempt.traceId);
});
