import { FireflyError } from "../errors.ts";
import type { SchemaIssue, StandardSchemaV1 } from "./standard_schema.ts";

/** How many issues a message tells of; the error has them all. */
const TOLD = 10;

/**
 * Arguments or a result do not fit the task's schema. Thrown where a task is scheduled; an attempt that it ends is not
 * tried again, since no retry makes the same value another.
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
  /** Everything that is wrong, as the schema's library has it. */
  readonly issues: readonly SchemaIssue[];

  /**
   * Says what is wrong where.
   *
   * @param refusal What cannot be done because of it, as the beginning of a sentence.
   * @param issues What is wrong.
   */
  constructor(refusal: string, issues: readonly SchemaIssue[]) {
    const told = issues.slice(0, TOLD).map(describeIssue).join("; ");
    super(`${refusal}: ${told}${issues.length > TOLD ? `; and ${issues.length - TOLD} more` : ""}`);
    this.issues = issues;
  }
}

/**
 * Checks a value, and resolves to what the schema makes of it.
 *
 * @throws {ValidationFailed} If it does not fit; the message begins with `refusal`.
 */
export async function validate<T>(schema: StandardSchemaV1<unknown, T>, value: unknown, refusal: string): Promise<T> {
  const result = await schema["~standard"].validate(value);
  if (result.issues) throw new ValidationFailed(refusal, result.issues);
  return result.value;
}

/**
 * Checks a list of arguments, and resolves to the list that the handler is to be called with.
 *
 * @throws {ValidationFailed} If it does not fit; the message begins with `refusal`.
 * @throws {TypeError} If the schema makes something else of a list.
 */
export async function validateArguments(
  schema: StandardSchemaV1<unknown, unknown[]>,
  args: unknown[],
  refusal: string,
): Promise<unknown[]> {
  const validated: unknown = await validate(schema, args, refusal);
  if (Array.isArray(validated)) return validated;
  throw new TypeError(`${refusal}: the schema "input" makes no list of a list of arguments`);
}

function describeIssue({ message, path = [] }: SchemaIssue): string {
  const place = path.map((segment) => describeKey(typeof segment === "object" ? segment.key : segment)).join("");
  return place ? `${place.replace(/^\./, "")}: ${message}` : message;
}

function describeKey(key: PropertyKey): string {
  if (typeof key === "string" && /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)) return `.${key}`;
  return `[${typeof key === "string" ? JSON.stringify(key) : String(key)}]`;
}
