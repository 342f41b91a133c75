import type { Tag } from "../database/driver.ts";
import { quoteIdentifier, quoteLiteral } from "../database/identifiers.ts";

/** What a role is for. */
export type RoleKind = "producer" | "consumer" | "viewer";

const KINDS: readonly RoleKind[] = ["producer", "consumer", "viewer"];

/** The name of a schema's role. Roles belong to the whole cluster, so that the schema's name is part of theirs. */
export function roleName(schema: string, kind: RoleKind): string {
  return `${schema}_${kind}`;
}

/** The names of all roles of a schema. */
export function roleNames(schema: string): string[] {
  return KINDS.map((kind) => roleName(schema, kind));
}

/** The SQL that makes a schema's roles, as far as they are missing: another database may have made them. */
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

/** The same for whoever is asked to do it by hand: one line, without what is there already. */
export function missingRolesText(missing: readonly string[]): string {
  return missing.map((name) => `CREATE ROLE ${quoteIdentifier(name)} NOLOGIN;`).join(" ");
}

/**
 * The SQL that grants to a schema's roles what this release needs, and takes everything else from them and from PUBLIC.
 * It goes by kinds of objects, so that it holds for those of later migrations, too: new ones are the consumer's alone.
 *
 * A producer calls functions that act as their owner. Their search_path is pinned, with pg_temp last, since it would be
 * searched first if it were not named: no object of the caller's is ever taken for one of ours.
 */
export function grantsText(schema: string): string {
  const ours = quoteIdentifier(schema);
  const [producer, consumer, viewer] = roleNames(schema).map(quoteIdentifier);
  const all = `${producer}, ${consumer}, ${viewer}`;
  return `REVOKE ALL ON SCHEMA ${ours} FROM PUBLIC, ${all};
REVOKE ALL ON ALL TABLES IN SCHEMA ${ours} FROM PUBLIC, ${all};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA ${ours} FROM PUBLIC, ${all};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${ours} FROM PUBLIC, ${all};
GRANT USAGE ON SCHEMA ${ours} TO ${all};

ALTER FUNCTION ${ours}.schedule SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION ${ours}._produce SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
GRANT EXECUTE ON FUNCTION ${ours}.schedule, ${ours}._produce TO ${producer};

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${ours} TO ${consumer};
REVOKE INSERT, UPDATE, DELETE ON ${ours}.migration FROM ${consumer};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${ours} TO ${consumer};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${ours} TO ${consumer};

GRANT SELECT ON ${ours}.task_overview, ${ours}.cron_record, ${ours}.queue, ${ours}.consumer, ${ours}.migration
  TO ${viewer};
`;
}

/** Those of `names` that are no roles of the cluster. */
export async function findMissingRoles(sql: Tag, names: string[]): Promise<string[]> {
  const rows = await sql`
    SELECT name
    FROM unnest(${names}::text[]) WITH ORDINALITY AS given (name, ordinal)
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
    ORDER BY ordinal
  `;
  return rows.map(({ name }) => name);
}

/** Whether this database grants anything of the schema to its roles, which are there for other databases, too. */
export async function hasRoles(sql: Tag): Promise<boolean> {
  const rows = await sql`
    SELECT
    FROM pg_namespace, aclexplode(nspacl) AS granted
    JOIN pg_roles AS role ON role.oid = granted.grantee
    WHERE nspname = ${sql.schemaName}::text AND rolname = ${roleName(sql.schemaName, "consumer")}::text
  `;
  return rows.count > 0;
}
