import type { Tag } from "../database/driver.ts";
import { quoteIdentifier, quoteLiteral } from "../database/identifiers.ts";

/** The purposes that a schema has roles for. */
export type RoleKind = "producer" | "consumer" | "viewer";

const KINDS: readonly RoleKind[] = ["producer", "consumer", "viewer"];

/** The functions that a producer calls, and that run as their owner. */
export const PRODUCER_FUNCTIONS = [
  "schedule",
  "_produce",
  "signal",
  "signal_by_key",
  "_signal",
  "_signal_by_key",
] as const;

/** Returns the name of a schema's role. Roles belong to the whole cluster, so their names contain the schema's. */
export function roleName(schema: string, kind: RoleKind): string {
  return `${schema}_${kind}`;
}

/** Returns the names of all roles of a schema. */
export function roleNames(schema: string): string[] {
  return KINDS.map((kind) => roleName(schema, kind));
}

/** Returns the SQL that creates a schema's roles where they are missing: another database may have created them. */
export function createRolesText(schema: string): string {
  return roleNames(schema).map((name) =>
    `DO $roles$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(name)}) THEN
    CREATE ROLE ${quoteIdentifier(name)} NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $roles$;
`
  ).join("");
}

/** Returns the SQL that creates the missing roles, as one line for an administrator to run. */
export function missingRolesText(missing: readonly string[]): string {
  return missing.map((name) => `CREATE ROLE ${quoteIdentifier(name)} NOLOGIN;`).join(" ");
}

/**
 * Returns the SQL that grants a schema's roles the privileges that this release needs, and revokes all others from them
 * and from PUBLIC. It names kinds of objects, so that it covers later migrations: new objects are the consumer's alone.
 *
 * A producer calls functions that run as their owner. Their search_path is pinned with pg_temp last, since an unnamed
 * pg_temp would be searched first: an object of the caller's never stands in for one of Firefly's.
 */
export function grantsText(schema: string): string {
  const ours = quoteIdentifier(schema);
  const [producer, consumer, viewer] = roleNames(schema).map(quoteIdentifier);
  const all = `${producer}, ${consumer}, ${viewer}`;
  const called = PRODUCER_FUNCTIONS.map((name) => `${ours}.${name}`);
  return `REVOKE ALL ON SCHEMA ${ours} FROM PUBLIC, ${all};
REVOKE ALL ON ALL TABLES IN SCHEMA ${ours} FROM PUBLIC, ${all};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA ${ours} FROM PUBLIC, ${all};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${ours} FROM PUBLIC, ${all};
GRANT USAGE ON SCHEMA ${ours} TO ${all};

${called.map((name) => `ALTER FUNCTION ${name} SECURITY DEFINER SET search_path = pg_catalog, pg_temp;`).join("\n")}
GRANT EXECUTE ON FUNCTION ${called.join(", ")} TO ${producer};

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${ours} TO ${consumer};
REVOKE INSERT, UPDATE, DELETE ON ${ours}.migration FROM ${consumer};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${ours} TO ${consumer};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${ours} TO ${consumer};

GRANT SELECT ON ${ours}.task_overview, ${ours}.cron_record, ${ours}.consumer_record, ${ours}.queue, ${ours}.consumer,
  ${ours}.queue_minute, ${ours}.task_minute, ${ours}.failed_task, ${ours}.error_overview, ${ours}.ready,
  ${ours}._ready_task, ${ours}.dependency, ${ours}.claim_batch, ${ours}._claimed_run, ${ours}._claimed_task, ${ours}.migration TO ${viewer};
GRANT SELECT (id, claim_seq, not_before, priority, queue, func_name, reason, quarantined, admit_at, pending,
  signals, suspended)
  ON ${ours}.waiting TO ${viewer};
GRANT SELECT (task_id, name, kind, status, seq, version, attempt, failures, began, ended, due, callees) ON ${ours}.step
  TO ${viewer};
`;
}

/** Finds those of `names` that are not roles of the cluster. */
export async function findMissingRoles(sql: Tag, names: string[]): Promise<string[]> {
  const rows = await sql`
    SELECT name
    FROM unnest(${names}::text[]) WITH ORDINALITY AS given (name, ordinal)
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
    ORDER BY ordinal
  `;
  return rows.map(({ name }) => name);
}

/** Whether this database grants anything in the schema to its roles; they may exist because of another database. */
export async function hasRoles(sql: Tag): Promise<boolean> {
  const rows = await sql`
    SELECT
    FROM pg_namespace, aclexplode(nspacl) AS granted
    JOIN pg_roles AS role ON role.oid = granted.grantee
    WHERE nspname = ${sql.schemaName}::text AND rolname = ${roleName(sql.schemaName, "consumer")}::text
  `;
  return rows.count > 0;
}
