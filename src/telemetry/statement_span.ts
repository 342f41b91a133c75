import { type Context, FAILED, KIND, otel, type Span, type SpanOptions, type Tracer } from "./otel.ts";
import { readProperty } from "../thrown.ts";

/** The key under which a context holds the tracer for statements: it is set while the handler of a traced attempt runs. */
const TRACER = Symbol("firefly.tracer");

/** Has the statements of the code in a context traced. */
export function noteTracer(context: Context, tracer: Tracer): Context {
  return context.setValue(TRACER, tracer);
}

/** A user's statement: its text, with a number in the place of each value, and whether data can be in it all the same. */
export interface TracedStatement {
  readonly text: string;
  readonly hasLiterals: boolean;
}

/**
 * Runs a user's statement, with a span around it if the code runs in a traced attempt. The span has the text without
 * values: none of a text that may hold data of its own.
 */
export function traceStatement<T>(describe: () => TracedStatement, run: () => Promise<T>): Promise<T> {
  const context = otel()?.context?.active();
  const tracer = context?.getValue(TRACER) as Tracer | undefined;
  return tracer
    ? traced(describe(), { run, start: (name, options) => tracer.startSpan(name, options, context) })
    : run();
}

async function traced<T>(
  { text, hasLiterals }: TracedStatement,
  { run, start }: { run: () => Promise<T>; start: (name: string, options: SpanOptions) => Span },
): Promise<T> {
  const operation = /^\s*(\w+)/.exec(text)?.[1]?.toUpperCase() ?? "statement";
  const span = start(operation, {
    kind: KIND.client,
    attributes: {
      "db.system.name": "postgresql",
      "db.operation.name": operation,
      ...(hasLiterals ? {} : { "db.query.text": text.trim() }),
    },
  });
  try {
    return await run();
  } catch (error) {
    const code = readProperty(error, "code");
    const isCode = typeof code === "string";
    span.setAttribute("error.type", isCode ? code : "Error");
    span.setStatus({ code: FAILED, ...(isCode ? { message: `code ${code}` } : {}) });
    throw error;
  } finally {
    span.end();
  }
}

/** Joins the parts of a tagged template, with `$1` and so on for its values. */
export function numberValues(strings: readonly string[]): string {
  return strings.reduce((text, part, i) => `${text}$${i}${part}`);
}
