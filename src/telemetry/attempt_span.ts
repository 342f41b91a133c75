import {
  activeContext,
  type Attributes,
  type Context,
  contextWith,
  epochNow,
  FAILED,
  KIND,
  runTimed,
  type Span,
  type Tracer,
  withSpan,
} from "./otel.ts";
import { noteTracer } from "./statement_span.ts";
import { StepSpan } from "./step_span.ts";
import { toHex, toTraceparent } from "./traceparent.ts";
import { partsOf } from "../thrown.ts";

/** An attempt, as its span shows it. */
export interface TracedAttempt {
  readonly id: number;
  readonly funcName: string;
  readonly queue: string;
  readonly attempt: number;
  /** The span that scheduled the task, in hex; null if there is none, undefined if the claim has not read it. */
  readonly scheduledIn: string | null | undefined;
  /** The spans that scheduled its dependencies, in hex, as far as they are known. */
  readonly dependedOn: readonly string[];
}

/** A step that is about to run. */
export interface TracedStep {
  readonly name: string;
  readonly key: string;
  readonly kind: string;
}

/** What a suspended attempt waits for. */
export interface Suspension {
  /** When it goes on at the latest; null if only a signal or a task moves it on. */
  readonly until: Date | null;
  readonly signals: readonly string[];
  readonly tasks: readonly number[];
}

/** The most steps of an attempt that have spans: a handler may have thousands. */
const MOST_STEPS = 100;

/** The span of one attempt, from its start to the return of its handler. */
export class AttemptSpan {
  readonly #span: Span;
  readonly #tracer: Tracer;
  readonly #attempt: TracedAttempt;
  readonly #fail: (span: Span, error: unknown) => void;
  #endTime: number | undefined;
  #steps = 0;

  constructor(
    span: Span,
    { tracer, attempt, fail }: {
      readonly tracer: Tracer;
      readonly attempt: TracedAttempt;
      /** Notes an error, without what is to be hidden. */
      fail(span: Span, error: unknown): void;
    },
  ) {
    this.#span = span;
    this.#tracer = tracer;
    this.#attempt = attempt;
    this.#fail = fail;
  }

  /** The id of its trace. */
  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  /** Its identity in hex, as it is stored with a task; undefined if it is not sampled. */
  get identity(): string | undefined {
    const context = this.#span.spanContext();
    const traceparent = (context.traceFlags & 1) === 1 ? toTraceparent(context) : undefined;
    return traceparent && toHex(traceparent);
  }

  /** Calls a handler with the span as the active one, so that spans of its code are children of this. */
  run<T>(call: () => T): T {
    const context: Context | undefined = contextWith(this.#span);
    return runTimed(context && noteTracer(context, this.#tracer), call, (time) => this.#endTime = time);
  }

  /**
   * Starts the span of a step that the running code begins; undefined if nothing propagates contexts, so that it would be
   * no part of the attempt, and if enough steps of the attempt have one.
   */
  startStep({ name, key, kind }: TracedStep): StepSpan | undefined {
    if (++this.#steps > MOST_STEPS) return undefined;
    const active = activeContext();
    if (!active) return undefined;
    const { id, funcName, attempt } = this.#attempt;
    const span = this.#tracer.startSpan(`step ${name}`, {
      kind: KIND.internal,
      attributes: {
        "firefly.step.name": name,
        ...(key === "" ? {} : { "firefly.step.key": key }),
        "firefly.step.kind": kind,
        "firefly.task.name": funcName,
        "firefly.task.attempt": attempt,
        "messaging.message.id": String(id),
      },
    }, active);
    return new StepSpan(span, { context: withSpan(active, span), fail: (error) => this.#fail(span, error) });
  }

  /** Notes the error that the attempt ends with. */
  fail(error: unknown): void {
    this.#endTime ??= epochNow();
    this.#fail(this.#span, error);
  }

  /** Notes that the attempt is suspended, and until when at the latest. */
  suspend({ until, signals, tasks }: Suspension): void {
    this.#endTime ??= epochNow();
    this.#span.addEvent("suspended", {
      ...(until === null ? {} : { "firefly.suspended.until": until.toISOString() }),
      ...(signals.length === 0 ? {} : { "firefly.suspended.signals": [...signals] }),
      ...(tasks.length === 0 ? {} : { "firefly.suspended.tasks": tasks.length }),
    }, this.#endTime);
  }

  /** Ends the span, once it is known how the attempt has ended. */
  end(outcome: string): void {
    this.#span.setAttribute("firefly.task.outcome", outcome);
    if (this.#steps > MOST_STEPS) this.#span.setAttribute("firefly.steps.skipped", this.#steps - MOST_STEPS);
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
