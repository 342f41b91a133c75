import { Redactor } from "../privacy/redaction.ts";
import { findParameters, hideParametersInText } from "../privacy/statement_parameters.ts";
import type { ErrorRow } from "../store/rows.ts";
import { toStorable } from "../wire/format.ts";

const MESSAGE_CAP = 8 * 1024;
const STACK_CAP = 16 * 1024;
const CAUSES = 5;
const DEFAULT = new Redactor();

/**
 * Describes a thrown value for storage: its name, message, stack and the messages of its causes, capped in size. Omits all
 * other fields, since the driver's errors carry the parameters of their statement in some; hides those parameters where
 * the texts quote them.
 */
export function describeError(thrown: unknown, redactor: Redactor = DEFAULT): Omit<ErrorRow, "at" | "attempt"> {
  const parameters = findParameters(thrown);
  const shown = (part: string, text: string) =>
    redactor.redactText(hideParametersInText(text, parameters), ["error", part]);
  const { name, message, stack } = partsOf(thrown);
  const causes: string[] = [];
  for (let cause = causeOf(thrown); cause !== undefined && causes.length < CAUSES; cause = causeOf(cause)) {
    const parts = partsOf(cause);
    causes.push(`${parts.name}: ${parts.message}`);
  }
  return {
    name: capText(name, 200),
    message: capText(shown("message", message), MESSAGE_CAP),
    ...(stack ? { stack: capText(shown("stack", stack), STACK_CAP) } : {}),
    ...(causes.length ? { cause: capText(shown("cause", causes.join("\n")), MESSAGE_CAP) } : {}),
  };
}

/** A thrown value may be anything, including an object with a getter that throws. */
function partsOf(thrown: unknown): { name: string; message: string; stack?: string } {
  try {
    if (thrown instanceof Error) {
      return { name: String(thrown.name), message: String(thrown.message), stack: String(thrown.stack ?? "") };
    }
    return { name: typeof thrown, message: String(thrown) };
  } catch {
    return { name: "Error", message: "The thrown value cannot be read" };
  }
}

function causeOf(thrown: unknown): unknown {
  try {
    return thrown instanceof Error ? thrown.cause : undefined;
  } catch {
    return undefined;
  }
}

function capText(text: string, cap: number): string {
  return toStorable(text.length > cap ? `${text.slice(0, cap)}…` : text);
}
