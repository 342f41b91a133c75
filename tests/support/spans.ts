import { context, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AlwaysOnSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";

/** The spans that have ended in this process since a provider of OpenTelemetry's SDK was registered. */
export interface Spans extends Disposable {
  /** Those with a name that begins so, in the order in which they ended. */
  named(start: string): ReadableSpan[];
}

/** Registers OpenTelemetry's SDK as an application does, with an exporter that keeps the spans; unregisters it at the end of the scope. */
export function collectSpans(): Spans {
  const exporter = new InMemorySpanExporter();
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ sampler: new AlwaysOnSampler(), spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  );
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  return {
    named: (start) => exporter.getFinishedSpans().filter(({ name }) => name.startsWith(start)),
    [Symbol.dispose]() {
      trace.disable();
      context.disable();
    },
  };
}

/** The identity of a span as it is stored with a task. */
export function traceparentOf(span: ReadableSpan): string {
  const { traceId, spanId } = span.spanContext();
  return `00-${traceId}-${spanId}-01`;
}

/** The spans that a span has links to, as they are stored with a task. */
export function linksOf({ links }: ReadableSpan): string[] {
  return links.map(({ context: { traceId, spanId } }) => `00-${traceId}-${spanId}-01`);
}
