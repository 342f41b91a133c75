import { type Attributes, type Context, contextWith, epochNow, FAILED, runIn, type Span, type Tracer } from "./otel.ts";
import { noteTracer } from "./statement_span.ts";
import { partsOf } from "../thrown.ts";

/** An attempt, as its span shows it. */
export interface TracedAttempt {
  readonly id: number;
  readonly funcName: string;
  readonly queue: string;
  readonly attempt: number;
  /** The span that scheduled the task, in hex; null if there is none, undefined if the claim has not read it. */
  readonly scheduledIn: string | null | undefined;
}

/** The span of one attempt, from its start to the return of its handler. */
export class AttemptSpan {
  readonly #span: Span;
  readonly #tracer: Tracer;
  readonly #fail: (error: unknown) => void;
  #endTime: number | undefined;

  constructor(span: Span, { tracer, fail }: { readonly tracer: Tracer; readonly fail: (error: unknown) => void }) {
    this.#span = span;
    this.#tracer = tracer;
    this.#fail = fail;
  }

  /** The id of its trace. */
  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  /** Calls a handler with the span as the active one, so that spans of its code are children of this. */
  run<T>(call: () => T): T {
    const context: Context | undefined = contextWith(this.#span);
    let isOver = true;
    try {
      const returned = runIn(context && noteTracer(context, this.#tracer), call);
      if (returned instanceof Promise) {
        isOver = false;
        const close = () => this.#close();
        returned.then(close, close);
      }
      return returned;
    } finally {
      if (isOver) this.#close();
    }
  }

  #close(): void {
    this.#endTime = epochNow();
  }

  /** Notes the error that the attempt ends with. */
  fail(error: unknown): void {
    this.#endTime ??= epochNow();
    this.#fail(error);
  }

  /** Ends the span, once it is known how the attempt has ended. */
  end(outcome: string): void {
    this.#span.setAttribute("firefly.task.outcome", outcome);
    this.#span.end(this.#endTime);
  }
}

/** The attributes of an operation on a queue, by OpenTelemetry's conventions for messaging. */
export function describe(
  { name, queue }: { readonly name?: string; readonly queue: string | undefined },
  operation: string,
  type: "send" | "receive" | "process",
): Attributes {
  return {
    "messaging.system": "firefly",
    "messaging.operation.name": operation,
    "messaging.operation.type": type,
    ...(queue === undefined ? {} : { "messaging.destination.name": queue }),
    ...(name === undefined ? {} : { "firefly.task.name": name }),
  };
}

/** Marks a span as failed with an error, of which nothing is to be hidden any more. */
export function markFailed(span: Span, error: unknown): void {
  const parts = partsOf(error);
  span.recordException(parts);
  span.setAttribute("error.type", parts.name);
  span.setStatus({ code: FAILED, message: parts.message });
}
