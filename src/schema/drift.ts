import { createHash } from "node:crypto";
import { MIGRATIONS } from "./migrations.ts";
import { migrationText } from "./migrator.ts";
import { SCHEMA_PARTS } from "./expected.ts";
import { PRODUCER_FUNCTIONS } from "../store/roles.ts";
import type { SchemaFunction, SchemaPart } from "../store/schema.ts";

/** A part of the schema that differs from what the migrations make. */
export interface Drift {
  /** Its kind and name: `index ready.ready_order`. */
  readonly name: string;
  /** Whether the database lacks it. */
  readonly missing: boolean;
  /** The definition that the migrations give it. */
  readonly expected: string;
  /** The definition in the database; undefined if it is missing. */
  readonly found: string | undefined;
}

const BODY = /\$(\w*)\$([^]*?)\$\1\$/g;

/**
 * Writes the parts of a schema as lines `name: definition`, in which those of two schemas can be compared. The definition
 * of a function ends with a hash of its body.
 */
export function linesOf(
  parts: readonly SchemaPart[],
  { functions, schema }: { functions: readonly SchemaFunction[]; schema: string },
): string[] {
  const written = writtenBodies(schema);
  // In a schema of another name bodies contain that name: they are hashed as the migrations have them.
  const hashed = functions.map(({ body, ...part }) => ({
    ...part,
    definition: `${part.definition} ${hashOf(written.get(body) ?? body)}`,
  }));
  return [...parts, ...hashed].map(({ name, definition }) => `${name}: ${definition}`);
}

/** Finds the parts of this release's schema that `lines` lacks or that differ. Other parts are the user's own. */
export function driftOf(lines: readonly string[], expected: string = SCHEMA_PARTS): Drift[] {
  const found = new Map(lines.map(split));
  return expected.trim().split("\n").map(split)
    .filter(([name, definition]) => {
      const own = found.get(name);
      return own !== definition && !(isProducers(name) && own?.replace(AS_OWNER, "") === definition);
    })
    .map(([name, definition]) => ({
      name,
      missing: !found.has(name),
      expected: definition,
      found: found.get(name),
    }));
}

/** What `migrate --roles` adds to the functions that producers call. */
const AS_OWNER = " security definer set search_path";

/**
 * The parts of this release's schema. With roles, the functions that producers call run as their owner. Without, they may
 * do so, too: the roles may have been dropped since.
 */
export function expectedParts({ roles }: { roles: boolean }): string {
  const lines = SCHEMA_PARTS.trim().split("\n");
  return lines.map((line) => roles && isProducers(line) ? line.replace(/(?= \w+$)/, AS_OWNER) : line).join("\n");
}

/** Whether a drift is only that `migrate --roles` has not run since the function was made. */
export function isGrant({ name, expected, found }: Drift): boolean {
  return isProducers(name) && found !== undefined && expected.replace(AS_OWNER, "") === found;
}

function isProducers(line: string): boolean {
  return PRODUCER_FUNCTIONS.some((name) => line.startsWith(`function ${name}(`));
}

/** The file name of the last migration that makes or changes a part. */
export function originOf({ name }: Pick<Drift, "name">): string | undefined {
  for (const pattern of statementsOf(name)) {
    const origin = MIGRATIONS.findLast(({ sql }) => pattern.test(sql));
    if (origin) return `${String(origin.version).padStart(4, "0")}_${origin.name}.sql`;
  }
  return undefined;
}

/** Matches the statements that make a part, the most specific first: a column or key comes with its table if need be. */
function statementsOf(name: string): RegExp[] {
  const [, kind, owner, part] = /^(\w+) (\w+)(?:\.(\w+))?/.exec(name)!;
  const change = `\\w+ TABLE "firefly"\\.${owner} (ADD|ALTER|RENAME) [^;]*\\b${part}\\b`;
  const specific: Record<string, string> = {
    function: `CREATE( OR REPLACE)? FUNCTION "firefly"\\.${owner}\\(`,
    trigger: `CREATE( OR REPLACE)? TRIGGER ${part} `,
    index: `CREATE( UNIQUE)? INDEX( CONCURRENTLY)?( IF NOT EXISTS)? ${part} `,
    column: change,
    constraint: change,
  };
  const relation = `CREATE( OR REPLACE| UNLOGGED)* (TABLE|VIEW|TYPE|DOMAIN) "firefly"\\.${owner} `;
  return [specific[kind!] ?? relation, relation].map((text) => new RegExp(`^${text}`, "m"));
}

/** The statement that builds an index while others write to its table; undefined for the index of a key. */
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

/** Maps the bodies of functions in a schema named `schema` to the same as the migrations have them. */
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
