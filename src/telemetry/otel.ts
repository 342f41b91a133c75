/*
 * Firefly imports nothing of OpenTelemetry. An SDK registers its providers through `@opentelemetry/api` in one place of
 * the global object, so that several copies of the API share them, and Deno's built-in one (OTEL_DENO=true) registers
 * itself there as well. To look there costs 10 ns; to import the API at the start of each process would cost 10 ms.
 */

const API = Symbol.for("opentelemetry.js.api.1");
/** The key under which a context of OpenTelemetry holds its span, in all copies of the API. */
const SPAN = Symbol.for("OpenTelemetry Context Key SPAN");

/** The kinds of spans, as the API numbers them. */
export const KIND = { internal: 0, client: 2, producer: 3, consumer: 4 } as const;
/** The status of a span that failed. */
export const FAILED = 2;

/** The identity of a span. */
export interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
  readonly isRemote?: boolean;
}

/** Values that describe a span. */
export type Attributes = Record<string, string | number | boolean | string[]>;

/** A span, as far as Firefly uses it. */
export interface Span {
  spanContext(): SpanContext;
  setAttribute(name: string, value: Attributes[string]): unknown;
  setStatus(status: { code: number; message?: string }): unknown;
  addEvent(name: string, attributes: Attributes, time: number): unknown;
  recordException(error: { name: string; message: string; stack?: string }): void;
  isRecording(): boolean;
  end(time?: number): void;
}

/** What a span is started with; times are milliseconds since 1970. */
export interface SpanOptions {
  readonly kind: number;
  readonly attributes: Attributes;
  readonly startTime?: number;
  readonly root?: boolean;
  readonly links?: { context: SpanContext; attributes: Attributes }[];
}

/** Starts spans. */
export interface Tracer {
  startSpan(name: string, options: SpanOptions, context?: Context): Span;
}

/** What code runs in: immutable values by key, the active span among them. */
export interface Context {
  getValue(key: symbol): unknown;
  setValue(key: symbol, value: unknown): Context;
}

/** What is registered. Only `trace` is there where nothing propagates contexts. */
interface Api {
  readonly trace?: { getTracer(name: string, version: string): Tracer };
  readonly context?: {
    active(): Context;
    with<T>(context: Context, fn: () => T): T;
  };
}

/** Returns what the application has registered of OpenTelemetry by now. */
export function otel(): Api | undefined {
  return (globalThis as { [API]?: Api })[API];
}

/** Returns the context of the running code; undefined if nothing propagates contexts. */
export function activeContext(): Context | undefined {
  return otel()?.context?.active();
}

/** Returns a context with `span` as its active span. */
export function withSpan(context: Context, span: Pick<Span, "spanContext" | "isRecording">): Context {
  return context.setValue(SPAN, span);
}

/** Returns the context of the running code with `span` as its active span; undefined if nothing propagates contexts. */
export function contextWith(span: Pick<Span, "spanContext" | "isRecording">): Context | undefined {
  const active = activeContext();
  return active && withSpan(active, span);
}

/** Runs `fn` in a context. */
export function runIn<T>(context: Context | undefined, fn: () => T): T {
  const manager = context && otel()?.context;
  return manager ? manager.with(context, fn) : fn();
}

/** Runs `fn` in a context, and calls `onEnd` with the time when it has ended: when its promise has settled, if it returns one. */
export function runTimed<T>(context: Context | undefined, fn: () => T, onEnd: (time: number) => void): T {
  const end = () => onEnd(epochNow());
  let isOver = true;
  try {
    const returned = runIn(context, fn);
    if (returned instanceof Promise) {
      isOver = false;
      returned.then(end, end);
    }
    return returned;
  } finally {
    if (isOver) end();
  }
}

/** Returns the time now as spans have it, more exactly than `Date.now()`. */
export function epochNow(): number {
  return epochOf(performance.now());
}

/** Converts a time by `performance.now()` to one of a span. */
export function epochOf(time: number): number {
  return performance.timeOrigin + time;
}
