import { assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { assertLinked, SPANS, startReceiver } from "../support/otlp_receiver.ts";
import { until } from "../support/waiting.ts";
import { runOn, type Surroundings } from "../wire/runtimes.ts";

const PROGRAM = new URL("../support/traced_program.ts", import.meta.url);

Deno.test("Deno's exporter sends the spans of a task and its step over OTLP, with links, and without an import of OpenTelemetry", async () => {
  await using db = await testDatabase();
  await using receiver = startReceiver();
  const program = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", PROGRAM.href],
    env: {
      FIREFLY_TEST_DATABASE: db.url,
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
  await until(() => receiver.spans.length >= SPANS);

  const attempt = assertLinked(receiver.spans);

  assertEquals(new TextDecoder().decode(stdout).trim(), attempt.traceId);
});

const NODE_PROVIDER = `
  import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
  import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
  const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
  provider.register();
  process.once("beforeExit", () => provider.shutdown());
`;

/** What applications load before their own code, by the release of OpenTelemetry. */
const SDKS: Record<string, Surroundings> = {
  "SDK 1.30 and API 1.4": {
    packages: {
      "@opentelemetry/api": "1.4.1",
      "@opentelemetry/sdk-trace-node": "1.30.1",
      "@opentelemetry/exporter-trace-otlp-http": "0.57.2",
    },
    preload: NODE_PROVIDER,
  },
  "SDK 2.12 and API 1.9": {
    packages: {
      "@opentelemetry/api": "1.9.1",
      "@opentelemetry/sdk-trace-node": "2.12.1",
      "@opentelemetry/exporter-trace-otlp-http": "0.223.1",
    },
    preload: NODE_PROVIDER,
  },
  "SDK 3.1 and API 1.10": {
    packages: {
      "@opentelemetry/api": "1.10.0",
      "@opentelemetry/context-async-hooks": "3.1.1",
      "@opentelemetry/sdk-trace": "3.1.0",
      "@opentelemetry/exporter-trace-otlp-http": "0.301.0",
    },
    preload: `
      import { context, trace } from "@opentelemetry/api";
      import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
      import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
      import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
      const exporter = new OTLPTraceExporter();
      const provider = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter })] });
      trace.setGlobalTracerProvider(provider);
      context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
      process.once("beforeExit", () => provider.shutdown());
    `,
  },
};

/** Each runtime, and each release, but not each pair of them. */
const PAIRS = [
  ["Node 22", "SDK 1.30 and API 1.4"],
  ["Node 22", "SDK 2.12 and API 1.9"],
  ["Node 24", "SDK 3.1 and API 1.10"],
  ["Bun", "SDK 2.12 and API 1.9"],
] as const;

for (const [runtime, sdk] of PAIRS) {
  Deno.test(`on ${runtime}, ${sdk} of OpenTelemetry export the spans of a task and its step over OTLP, with links`, async () => {
    await using db = await testDatabase();
    await using receiver = startReceiver();
    const env = { FIREFLY_TEST_DATABASE: db.url, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url };

    assertEquals(await runOn(runtime, PROGRAM, env, SDKS[sdk]), { success: true, stderr: "" });

    assertLinked(receiver.spans);
  });
}
