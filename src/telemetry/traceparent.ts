import type { SpanContext } from "./otel.ts";

/** The ids of a trace and of a span, and the flags, in hex. */
const IDENTITY = /^([0-9a-f]{32})([0-9a-f]{16})([0-9a-f]{2})$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);

/** Writes the identity of a span as W3C Trace Context does; undefined if it has none. */
export function toTraceparent({ traceId, spanId, traceFlags }: SpanContext): string | undefined {
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/** Takes the digits of a traceparent without its version, as they are stored. */
export function toHex(traceparent: string): string {
  return traceparent.slice(3, 35) + traceparent.slice(36, 52) + traceparent.slice(53);
}

/** Reads what is stored; undefined if it is no identity, since a wrong one must not keep a task from running. */
export function parseHex(hex: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = IDENTITY.exec(hex) ?? [];
  if (traceId === undefined || traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  return { traceId, spanId: spanId!, traceFlags: parseInt(flags!, 16) & 1, isRemote: true };
}
