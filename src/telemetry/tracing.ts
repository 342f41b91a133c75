import { AttemptSpan, describe, markFailed, type TracedAttempt } from "./attempt_span.ts";
import { Budget } from "./budget.ts";
import { contextWith, epochNow, epochOf, KIND, otel, type Span, type SpanOptions, type Tracer } from "./otel.ts";
import { parseHex, toTraceparent } from "./traceparent.ts";
import type { Redactor } from "../privacy/redaction.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { VERSION } from "../version.ts";

/** Options of {@linkcode Tracing}. */
export interface TracingOptions {
  /**
   * What an attempt is to the span that scheduled its task. `link`: it begins a trace of its own, with a link to that
   * span. `child`: it continues that trace, and is sampled if that was. @default "link"
   */
  attempts?: "link" | "child";
  /**
   * The most attempts a second of which a consumer makes spans while they run, 0 for none. Of those beyond, it makes spans once
   * they have failed, up to as many again. @default 200
   */
  attemptsPerSecond?: number;
}

/** The attempts per second unless an option says otherwise. */
export const ATTEMPTS_PER_SECOND = 200;

/**
 * The most tasks of one call that store the identity of its span: the 55 bytes in each row cost a drain of short tasks
 * 8% of its time, and backends show few of thousands of links to one span.
 */
const MOST_LINKED = 100;

/** The most spans that the span of a claim has links to: SDKs drop links from 128 on. */
const MOST_LINKS = 100;

/** A claim that is under way: see {@linkcode Tracing.startClaim}. */
export interface TracedClaim {
  readonly attempts: number;
  end(count: number, spans?: Readonly<Record<number, string | null | readonly [string | null, ...string[]]>>): void;
}

/** A task that is about to be inserted. */
interface TracedTask {
  readonly func_name: string;
  readonly queue: string;
  traceparent?: string;
}

/**
 * Makes spans of what an instance does, if the application has registered a tracer provider of OpenTelemetry by then.
 * Names and attributes follow OpenTelemetry's conventions for messaging.
 */
export class Tracing {
  readonly #redactor: Redactor;
  readonly #isChild: boolean;
  readonly #running: Budget;
  readonly #failing: Budget;
  #provider: unknown;
  #tracer: Tracer | undefined;
  /** How many attempts have had no span since the last one that had. */
  #skipped = 0;

  constructor({ attempts = "link", attemptsPerSecond = ATTEMPTS_PER_SECOND }: TracingOptions, redactor: Redactor) {
    this.#redactor = redactor;
    this.#isChild = attempts === "child";
    this.#running = new Budget(attemptsPerSecond);
    this.#failing = new Budget(attemptsPerSecond);
  }

  /** Looks for a tracer provider, which the application may register, or replace, at any time. */
  #refresh(): Tracer | undefined {
    const provider = otel()?.trace;
    if (provider !== this.#provider) {
      this.#provider = provider;
      this.#tracer = provider?.getTracer("@firefly/tasks", VERSION);
    }
    return this.#tracer;
  }

  /** Makes a span around the insertion of the tasks of one call, and stores its identity with the first hundred. */
  schedule<T extends { readonly scheduled: readonly { readonly id: string }[] }>(
    prepared: { readonly tasks: TracedTask[]; readonly plain: TracedTask[] },
    insert: () => Promise<T>,
  ): Promise<T> {
    const tracer = this.#refresh();
    return tracer && prepared.tasks.length > 0 ? this.#schedule(tracer, { ...prepared, insert }) : insert();
  }

  async #schedule<T extends { readonly scheduled: readonly { readonly id: string }[] }>(
    tracer: Tracer,
    { tasks, plain, insert }: { tasks: TracedTask[]; plain: TracedTask[]; insert: () => Promise<T> },
  ): Promise<T> {
    const [first] = tasks as [TracedTask];
    const { func_name: name, queue } = first;
    const span = tracer.startSpan(`schedule ${name}`, {
      kind: KIND.producer,
      attributes: {
        ...describe({ name, queue }, "schedule", "send"),
        ...(tasks.length === 1 ? {} : { "messaging.batch.message_count": tasks.length }),
      },
    });
    const traceparent = toTraceparent(span.spanContext());
    if (traceparent !== undefined) {
      for (const some of [tasks, plain]) for (const task of some.slice(0, MOST_LINKED)) task.traceparent = traceparent;
    }
    try {
      const inserted = await insert();
      if (tasks.length === 1) span.setAttribute("messaging.message.id", inserted.scheduled[0]!.id);
      return inserted;
    } catch (error) {
      this.#fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  /**
   * Makes a root span around the tasks that a cron schedules. `fire` stores its identity with them, and resolves to how
   * many they are. All consumers try to fire a slot: the span of one that schedules none, or fails, is not ended, and so
   * never exported.
   */
  async fireCron<T extends { readonly fired: number }>(
    { name, expression, task: { queue } }: {
      readonly name: string;
      readonly expression: string;
      readonly task: { readonly queue: string };
    },
    fire: (traceparent: string | undefined) => Promise<T>,
  ): Promise<T> {
    const tracer = this.#refresh();
    if (!tracer) return await fire(undefined);
    const span = tracer.startSpan(`schedule ${name}`, {
      kind: KIND.producer,
      root: true,
      attributes: {
        ...describe({ name, queue }, "schedule", "send"),
        "firefly.cron.name": name,
        "firefly.cron.expression": expression,
      },
    });
    const outcome = await fire(toTraceparent(span.spanContext()));
    if (outcome.fired > 1) span.setAttribute("messaging.batch.message_count", outcome.fired);
    if (outcome.fired > 0) span.end();
    return outcome;
  }

  /**
   * Begins a claim from `queues`; undefined if nothing is traced. `attempts`: how many of its attempts may be traced, so
   * that the claim must read the spans that scheduled their tasks; `end` is called with those, and with the number of
   * tasks that it took. It makes the span of the claim, with links to some of them.
   */
  startClaim(queues: readonly string[]): TracedClaim | undefined {
    const tracer = this.#refresh();
    if (!tracer) return undefined;
    const startTime = epochNow();
    return {
      attempts: this.#running.left(performance.now()),
      end(count, spans = {}) {
        if (count === 0) return; // a consumer polls every few seconds
        const queue = queues.length === 1 ? queues[0]! : undefined;
        tracer.startSpan(queue === undefined ? "claim" : `claim ${queue}`, {
          kind: KIND.client,
          root: true,
          startTime,
          attributes: { ...describe({ queue }, "claim", "receive"), "messaging.batch.message_count": count },
          links: linksTo(Object.values(spans).map((span) => Array.isArray(span) ? span[0] : span)),
        }).end(epochNow());
      },
    };
  }

  /** Starts the span of an attempt that begins `now`; undefined if nothing is traced, or enough is in this second. */
  startAttempt(attempt: TracedAttempt, now: number): AttemptSpan | undefined {
    if (!this.#tracer) return undefined;
    if (attempt.scheduledIn !== undefined && this.#running.take(now)) return this.#start(this.#tracer, attempt);
    this.#skipped++;
    return undefined;
  }

  /** Starts the span of an attempt without one that has just failed, and began at `began` by `performance.now()`. */
  startFailed(attempt: TracedAttempt, began: number): AttemptSpan | undefined {
    if (!this.#tracer || !this.#failing.take(performance.now())) return undefined;
    this.#skipped = Math.max(0, this.#skipped - 1);
    return this.#start(this.#tracer, attempt, epochOf(began));
  }

  #start(tracer: Tracer, attempt: TracedAttempt, startTime = epochNow()): AttemptSpan | undefined {
    const { id, funcName: name, queue, scheduledIn = null, dependedOn } = attempt;
    const links = linksTo([scheduledIn, ...dependedOn]);
    const scheduled = scheduledIn ? parseHex(scheduledIn) : undefined;
    const parent = this.#isChild ? scheduled : undefined;
    if (parent?.traceFlags === 0) return undefined; // the application chose not to sample its trace
    const skipped = this.#skipped;
    this.#skipped = 0;
    const span = tracer.startSpan(`attempt ${name}`, {
      kind: KIND.consumer,
      root: parent === undefined,
      startTime,
      attributes: {
        ...describe({ name, queue }, "attempt", "process"),
        "messaging.message.id": String(id),
        "firefly.task.attempt": attempt.attempt,
        ...(skipped > 0 ? { "firefly.attempts.skipped": skipped } : {}),
      },
      ...(links.length > 0 ? { links } : {}),
    }, parent && contextWith({ spanContext: () => parent, isRecording: () => false }));
    return new AttemptSpan(span, { tracer, attempt, fail: (failed, error) => this.#fail(failed, error) });
  }

  #fail(span: Span, thrown: unknown): void {
    markFailed(span, this.#redactor.redact(thrown));
  }
}

/** Makes what the option `tracing` asks for. */
export function makeTracing(tracing: boolean | TracingOptions | undefined, redactor: Redactor): Tracing | undefined {
  return tracing === false ? undefined : new Tracing(typeof tracing === "object" ? tracing : {}, redactor);
}

/**
 * Checks the option `tracing`.
 *
 * @throws {TypeError | RangeError} If it is wrong.
 */
export function checkTracing(tracing: unknown, action: string): void {
  if (tracing === undefined || typeof tracing === "boolean") return;
  if (typeof tracing !== "object" || tracing === null) {
    throw new TypeError(`Cannot ${action} as "tracing" must be true, false or an object: current value is ${tracing}`);
  }
  refuseUnknownKeys(tracing, ["attempts", "attemptsPerSecond"], action);
  const { attempts = "link", attemptsPerSecond = 0 } = tracing as TracingOptions;
  if (attempts !== "link" && attempts !== "child") {
    throw new TypeError(
      `Cannot ${action} as "tracing.attempts" must be "link" or "child": current value is ${JSON.stringify(attempts)}`,
    );
  }
  if (Number.isInteger(attemptsPerSecond) && attemptsPerSecond >= 0) return;
  throw new RangeError(
    `Cannot ${action} as "tracing.attemptsPerSecond" must be a non-negative integer: current value is ${attemptsPerSecond}`,
  );
}

/** Makes a link to each of these spans, once. */
function linksTo(spans: readonly (string | null)[]): NonNullable<SpanOptions["links"]> {
  const some = [...new Set(spans)].filter((hex) => hex !== null).slice(0, MOST_LINKS);
  return some.flatMap((hex) => {
    const context = parseHex(hex);
    return context ? [{ context, attributes: {} }] : [];
  });
}
