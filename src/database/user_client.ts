import { formatArray } from "./array_types.ts";
import type { Row, Rows, Tag } from "./driver.ts";
import { quoteIdentifier } from "./identifiers.ts";
import { checkClient, refuseClient } from "./client_kinds.ts";
import type { Queryable, Sql } from "../sql.ts";

/** A part of a statement, and the values in it: they get their numbers once the statement is whole. */
class Part {
  constructor(readonly strings: readonly string[], readonly values: readonly unknown[] = []) {}

  /** The text with `$1`, `$2`, … for the values that it adds to `params`. */
  render(params: unknown[]): string {
    let text = this.strings[0]!;
    for (const [i, value] of this.values.entries()) {
      text += value instanceof Part ? value.render(params) : `$${params.push(parameterOf(value))}`;
      text += this.strings[i + 1]!;
    }
    return text;
  }
}

/**
 * Makes the store's tag of a client of the user's: a `sql` of postgres.js, or anything else that can query. Statements
 * then run where that client is, as a rule in a transaction of its own.
 *
 * Clients rename columns, and parse times, big integers and JSON each in their own way. All leave a text as it is, and
 * its value is the only one in its row whatever they call it. So a statement for this tag must return one column, a
 * `text` named `text`; its parameters must be texts, numbers or lists of texts, with a cast to their type.
 *
 * @throws {TypeError} If it cannot query, or is known to have no transaction; the tag rejects with it if the client's answer is no list of such rows.
 */
export function tagOf(client: Sql | Queryable, schemaName: string): Tag {
  checkClient(client);
  async function sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<Rows<Row>> {
    const params: unknown[] = [];
    const text = new Part(strings, values).render(params);
    const rows: unknown = await (isQueryable(client) ? client.query(text, params) : client.unsafe(text, params));
    const texts = textsOf(rows);
    if (!texts) throw refuseClient(client, { value: rows });
    return Object.assign(texts, { count: texts.length });
  }
  const raw = (text: string) => new Part([text]);
  return Object.assign(sql, {
    schema: raw(quoteIdentifier(schemaName)),
    schemaName,
    identifier: (name: string) => raw(quoteIdentifier(name)),
    fragment: (strings: TemplateStringsArray, ...values: unknown[]) => new Part(strings, values),
    raw,
  }) as Tag;
}

function isQueryable(client: Sql | Queryable): client is Queryable {
  return "query" in client && typeof client.query === "function";
}

/** Returns the one value of each row; undefined if these are not rows of one text each. */
function textsOf(rows: unknown): { text: unknown }[] | undefined {
  if (!Array.isArray(rows) || rows.some((row) => typeof row !== "object" || row === null)) return undefined;
  const texts = rows.map((row: object) => ({ text: Object.values(row)[0] }));
  return texts.every(({ text }) => typeof text === "string" || text === null) ? texts : undefined;
}

/** A list travels as an array literal: not every client can send one, and postgres.js only once it knows the type. */
function parameterOf(value: unknown): unknown {
  return Array.isArray(value) ? formatArray(value) : value;
}
