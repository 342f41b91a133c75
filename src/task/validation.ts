import { FireflyError } from "../errors.ts";
import type { SchemaIssue, StandardSchemaV1 } from "./standard_schema.ts";

/** How many issues a message lists. The error's `issues` has all of them. */
const MAX_LISTED = 10;

/**
 * Arguments or a result do not fit the task's schema. Thrown by `schedule()`. If it ends an attempt, the task fails
 * without a retry, since a retry would not change the value.
 *
 * @example
 * ```ts
 * import { ValidationFailed } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const issues = [{ message: "Invalid email", path: [0, "email"] }];
 * const { message } = new ValidationFailed('Cannot schedule task "mail.send" as its arguments are not valid', issues);
 *
 * assertEquals(message, 'Cannot schedule task "mail.send" as its arguments are not valid: [0].email: Invalid email');
 * ```
 */
export class ValidationFailed extends FireflyError {
  /** The name of the class. */
  override name = "ValidationFailed";
  /** All issues, as the schema's library reported them. */
  readonly issues: readonly SchemaIssue[];

  /**
   * Creates an error that lists the first 10 issues.
   *
   * @param refusal The beginning of the message: what failed, and which value is not valid.
   * @param issues The issues, at least one.
   */
  constructor(refusal: string, issues: readonly SchemaIssue[]) {
    const listed = issues.slice(0, MAX_LISTED).map(describeIssue).join("; ");
    super(`${refusal}: ${listed}${issues.length > MAX_LISTED ? `; and ${issues.length - MAX_LISTED} more` : ""}`);
    this.issues = issues;
  }
}

/**
 * Validates a value, and resolves to the validated value.
 *
 * @throws {ValidationFailed} If it is not valid; the message begins with `refusal`.
 */
export async function validate<T>(schema: StandardSchemaV1<unknown, T>, value: unknown, refusal: string): Promise<T> {
  const result = await schema["~standard"].validate(value);
  if (result.issues) throw new ValidationFailed(refusal, result.issues);
  return result.value;
}

/**
 * Validates a list of arguments, and resolves to the list to call the handler with.
 *
 * @throws {ValidationFailed} If it is not valid; the message begins with `refusal`.
 * @throws {TypeError} If the schema returns something other than a list.
 */
export async function validateArguments(
  schema: StandardSchemaV1<unknown, unknown[]>,
  args: unknown[],
  refusal: string,
): Promise<unknown[]> {
  const validated: unknown = await validate(schema, args, refusal);
  if (Array.isArray(validated)) return validated;
  throw new TypeError(`${refusal}: the schema "input" does not return a list of arguments`);
}

function describeIssue({ message, path = [] }: SchemaIssue): string {
  const keys = path.map((segment) => describeKey(typeof segment === "object" ? segment.key : segment)).join("");
  return keys ? `${keys.replace(/^\./, "")}: ${message}` : message;
}

function describeKey(key: PropertyKey): string {
  if (typeof key === "string" && /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)) return `.${key}`;
  return `[${typeof key === "string" ? JSON.stringify(key) : String(key)}]`;
}
