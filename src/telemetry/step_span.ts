import { type Context, epochNow, runTimed, type Span } from "./otel.ts";

/** The span of a step that runs: a child of the active span, which is that of its attempt unless the handler made one. */
export class StepSpan {
  readonly #span: Span;
  readonly #context: Context;
  readonly #fail: (error: unknown) => void;
  #endTime: number | undefined;

  constructor(
    span: Span,
    { context, fail }: { readonly context: Context; readonly fail: (error: unknown) => void },
  ) {
    this.#span = span;
    this.#context = context;
    this.#fail = fail;
  }

  /** Calls the function of the step with the span as the active one. */
  run<T>(call: () => T): T {
    return runTimed(this.#context, call, (time) => this.#endTime = time);
  }

  /** Ends the span, once it is known how the step has ended; with the error, if it failed. */
  end(outcome: string, failure?: { readonly error: unknown }): void {
    this.#endTime ??= epochNow();
    if (failure) this.#fail(failure.error);
    this.#span.setAttribute("firefly.step.outcome", outcome);
    this.#span.end(this.#endTime);
  }
}
