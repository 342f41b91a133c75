import { createHash } from "node:crypto";
import { MIGRATIONS } from "./migrations.ts";
import { migrationText } from "./migrator.ts";
import { SCHEMA_PARTS } from "./expected.ts";
import type { SchemaFunction, SchemaPart } from "../store/schema.ts";

/** Where a part is not as the migrations made it. */
export interface Drift {
  /** What it is and what it is called: `index ready.ready_order`. */
  readonly name: string;
  /** Whether it is there at all. */
  readonly missing: boolean;
  /** What it should be. */
  readonly expected: string;
  /** What it is; undefined if it is missing. */
  readonly found: string | undefined;
}

const BODY = /\$(\w*)\$([^]*?)\$\1\$/g;

/**
 * The parts as the migrations of this release make them, against which those of a database are compared, each as a line
 * `name: definition`. Of a function's body a hash is part of it.
 */
export function linesOf(
  parts: readonly SchemaPart[],
  { functions, schema }: { functions: readonly SchemaFunction[]; schema: string },
): string[] {
  const written = writtenBodies(schema);
  // The migrations name the schema "firefly", and a database whose schema is called otherwise holds that other name.
  const hashed = functions.map(({ body, ...part }) => ({
    ...part,
    definition: `${part.definition} ${hashOf(written.get(body) ?? body)}`,
  }));
  return [...parts, ...hashed].map(({ name, definition }) => `${name}: ${definition}`);
}

/** What of the schema of this release is missing or different among `lines`. What is there beside it is the user's own. */
export function driftOf(lines: readonly string[], expected: string = SCHEMA_PARTS): Drift[] {
  const found = new Map(lines.map(split));
  return expected.trim().split("\n").map(split)
    .filter(([name, definition]) => found.get(name) !== definition)
    .map(([name, definition]) => ({
      name,
      missing: !found.has(name),
      expected: definition,
      found: found.get(name),
    }));
}

/** The migration whose text has the last word on a part. */
export function originOf({ name }: Pick<Drift, "name">): string | undefined {
  const word = name.replace(/^\w+ /, "").replace(/\(.*/, "").split(".").at(-1)!;
  const mention = new RegExp(`(?<!\\w)${word}(?!\\w)`);
  const origin = MIGRATIONS.findLast(({ sql }) => new RegExp(`(CREATE|ADD)[^;]*${mention.source}`).test(sql));
  return origin && `${String(origin.version).padStart(4, "0")}_${origin.name}.sql`;
}

/** The statement that makes an index, if a migration has one for it. */
export function indexStatement(index: string, schema: string): string | undefined {
  for (const { sql } of MIGRATIONS.toReversed()) {
    const [statement] = new RegExp(`^CREATE (UNIQUE )?INDEX (CONCURRENTLY )?${index} ON [^;]*`, "m").exec(sql) ?? [];
    if (statement) {
      const online = statement.replace(/INDEX (CONCURRENTLY )?/, "INDEX CONCURRENTLY ");
      return migrationText(online, schema).replaceAll(/\s+/g, " ");
    }
  }
  return undefined;
}

/** The bodies in the migrations as they stand in a database whose schema is called `schema`, each with what was written. */
function writtenBodies(schema: string): Map<string, string> {
  const bodies = MIGRATIONS.flatMap(({ sql }) => Array.from(sql.matchAll(BODY), ([, , body]) => body!));
  return new Map(bodies.map((body) => [migrationText(body, schema), body]));
}

function hashOf(body: string): string {
  return createHash("sha256").update(body).digest("hex").slice(0, 12);
}

function split(line: string): [name: string, definition: string] {
  const at = line.indexOf(": ");
  return [line.slice(0, at), line.slice(at + 2)];
}
