import type { Rows, Tag } from "./driver.ts";
import { quoteIdentifier, quoteLiteral } from "./identifiers.ts";

/** Text of this package's own within a statement. */
class Part {
  constructor(readonly text: string) {}
}

/** A statement with its values as literals, to be sent as text together with others. */
export class WrittenStatement {
  /** The same for all executions of a statement. */
  readonly strings: TemplateStringsArray;
  readonly #values: readonly unknown[];

  constructor(strings: TemplateStringsArray, values: readonly unknown[]) {
    this.strings = strings;
    this.#values = values;
  }

  /** The text with `$1` and so on for its values, whose types the server infers. */
  get text(): string {
    let count = 0;
    return this.#write(() => `$${++count}`);
  }

  /** The text with its values. */
  get inline(): string {
    return this.#write(literalOf);
  }

  /** The statement that executes it where it is prepared as `name`. */
  execute(name: string): string {
    const literals = this.#values.filter((value) => !(value instanceof Part)).map(literalOf);
    return literals.length > 0 ? `EXECUTE ${name}(${literals.join(", ")})` : `EXECUTE ${name}`;
  }

  #write(write: (value: unknown) => string): string {
    return this.strings.reduce((text, string, i) => {
      const value = this.#values[i - 1];
      return text + (value instanceof Part ? value.text : write(value)) + string;
    });
  }
}

/** Makes a tag for one statement of the store, without fragments, that `run` gets in writing. */
export function makeWrittenTag(run: (statement: WrittenStatement) => Promise<Rows<never>>, schemaName: string): Tag {
  function sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<Rows<never>> {
    return run(new WrittenStatement(strings, values));
  }
  const identifier = (name: string) => new Part(quoteIdentifier(name));
  function fragment(): never {
    throw new TypeError("Cannot write a statement of fragments");
  }
  return Object.assign(sql, {
    schema: identifier(schemaName),
    schemaName,
    identifier,
    fragment,
    raw: (text: string) => new Part(text),
  }) as Tag;
}

function literalOf(value: unknown): string {
  if (value === null) return "NULL";
  if (typeof value === "string") return quoteLiteral(value);
  if (typeof value === "number" && Number.isFinite(value)) return value < 0 ? `(${value})` : `${value}`;
  throw new TypeError(`Cannot write a ${typeof value} as a literal`);
}
