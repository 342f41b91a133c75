import type { SpanContext } from "./otel.ts";

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);

/** Writes the identity of a span as W3C Trace Context does; undefined if it has none. */
export function toTraceparent({ traceId, spanId, traceFlags }: SpanContext): string | undefined {
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/** Reads a traceparent; undefined if it is none, since a wrong one must not keep a task from running. */
export function parseTraceparent(text: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || text.startsWith("ff") || traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId: spanId!, traceFlags: parseInt(flags!, 16) & 1, isRemote: true };
}
