import { isError, readProperty, toText } from "../thrown.ts";

/** How many frames of a caller are kept. */
const FRAMES = 10;
/** A line of a stack that is a frame, in the notation of V8 or of JavaScriptCore. */
const FRAME = /^\s*at |@.*:\d+:\d+$/;

/** The texts of failed statements, by their errors. */
const statements = new WeakMap<object, string>();

/** The place from which a statement was sent. */
export interface CallSite {
  readonly stack?: string;
}

/**
 * Captures the frames that called `callee`. The driver's errors have none of them, as they are made when the reply comes.
 * The engine formats the frames when they are read, which only a failed statement does.
 */
export function captureCallSite(callee: (...args: never[]) => unknown): CallSite {
  const site: CallSite = {};
  Error.captureStackTrace(site, callee);
  return site;
}

/** Completes the error of a failed statement: its stack gets the caller's frames in place of the driver's. */
export function describeFailure(error: unknown, { site, text }: { site: CallSite; text: string }): void {
  // The driver gives the errors of statements this property: not those that reject all statements of a connection.
  if (!isError(error) || !Object.hasOwn(error, "query") || statements.has(error)) return;
  const query = readProperty(error, "query");
  statements.set(error, typeof query === "string" ? query : text);
  const frames = toText(site.stack)?.split("\n").filter((line) => FRAME.test(line)).slice(0, FRAMES) ?? [];
  if (frames.length === 0) return;
  try {
    const stack = [`${error.name}: ${error.message}`, ...frames].join("\n");
    Object.defineProperty(error, "stack", { value: stack, configurable: true, writable: true });
  } catch {
    return; // frozen: it keeps the driver's
  }
}

/** Returns the text of the statement that failed with this very error, without its parameters. */
export function statementOf(error: unknown): string | undefined {
  return typeof error === "object" && error !== null ? statements.get(error) : undefined;
}
