import { codeOf } from "../database/error_codes.ts";
import { statementOf } from "../database/call_site.ts";
import { Redactor } from "../privacy/redaction.ts";
import { findParameters, hideParametersInText, REDACTED } from "../privacy/statement_parameters.ts";
import { foldStack } from "./fold_stack.ts";
import type { ErrorRow } from "../store/rows.ts";
import { causesOf, partsOf } from "../thrown.ts";
import { toStorable } from "../wire/format.ts";

const NAME_CAP = 200;
const CODE_CAP = 100;
const MESSAGE_CAP = 8 * 1024;
const STACK_CAP = 16 * 1024;
const STATEMENT_CAP = 2 * 1024;
const CAUSES = 5;
const DEFAULT = new Redactor();

/** An entry of the column `errors`, without the fields that the database adds. */
export type ErrorDescription = Omit<ErrorRow, "at" | "attempt">;

/**
 * Describes a thrown value for storage: its name, message, stack and the messages of its causes, capped in size; and of a
 * failed statement its SQLSTATE and its text. Omits all other fields, since the driver's errors carry the parameters of
 * their statement in some; hides those parameters where the texts quote them.
 */
export function describeError(thrown: unknown, redactor: Redactor = DEFAULT): ErrorDescription {
  const parameters = findParameters(thrown);
  const shown = (part: string, text: string) =>
    redactor.redactText(hideParametersInText(text, parameters), ["error", part]);
  const [{ name, message, stack }, ...causes] = [...causesOf(thrown, CAUSES)].map(partsOf) as [
    ReturnType<typeof partsOf>,
  ];
  const cause = (causes as ReturnType<typeof partsOf>[]).map(({ name, message }) => `${name}: ${message}`).join("\n");
  const code = firstOf(thrown, codeOf);
  const given = firstOf(thrown, (error) => statementOf(error) ?? "");
  // A text has no name but this one: a list of names can hide it, too.
  const statement = given && redactor.redactProperty(hideParametersInText(given, parameters), ["error", "statement"]);
  return {
    name: capText(name, NAME_CAP),
    message: capText(shown("message", message), MESSAGE_CAP),
    ...(code ? { code: capText(shown("code", code), CODE_CAP) } : {}),
    ...(statement && statement !== REDACTED ? { statement: capText(statement, STATEMENT_CAP) } : {}),
    ...(stack ? { stack: capText(shown("stack", foldStack(stack)), STACK_CAP) } : {}),
    ...(cause ? { cause: capText(shown("cause", cause), MESSAGE_CAP) } : {}),
  };
}

/** Reads a text of an error, or of the first of its causes that has one. */
function firstOf(thrown: unknown, read: (error: unknown) => string): string {
  for (const error of causesOf(thrown, CAUSES)) {
    const text = read(error);
    if (text) return text;
  }
  return "";
}

function capText(text: string, cap: number): string {
  return toStorable(text.length > cap ? `${text.slice(0, cap)}…` : text);
}
