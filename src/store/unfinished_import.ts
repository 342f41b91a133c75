import type { Tag } from "../database/driver.ts";

/** Keeps other imports of the same source out until the end of the transaction; false if one is under way. */
export async function lockImport(sql: Tag, source: string): Promise<boolean> {
  const [row] = await sql`
    SELECT pg_try_advisory_xact_lock(hashtextextended(${`firefly:import ${source}`}::text, 0)) AS locked
  `;
  return row!.locked;
}

/** Names this schema of this database: the same text for it alone, among all clusters. */
export async function readTarget(sql: Tag): Promise<string> {
  const [row] = await sql`
    SELECT concat_ws('/', system_identifier, current_database(), ${sql.schemaName}::text) AS target
    FROM pg_control_system()
  `;
  return row!.target;
}

/** Stores that an import is committed, by the transaction that commits it. */
export async function insertUnfinishedImport(
  sql: Tag,
  { id, source }: { id: string; source: string },
): Promise<void> {
  await sql`INSERT INTO ${sql.schema}.unfinished_import (id, source) VALUES (${id}, ${source})`;
}

/** Whether the transaction of an import was committed, and its jobs may not all be removed. */
export async function isUnfinishedImport(sql: Tag, id: string): Promise<boolean> {
  const rows = await sql`SELECT FROM ${sql.schema}.unfinished_import WHERE id = ${id}`;
  return rows.length > 0;
}

/** Forgets an import whose jobs are removed. */
export async function deleteUnfinishedImport(sql: Tag, id: string): Promise<void> {
  await sql`DELETE FROM ${sql.schema}.unfinished_import WHERE id = ${id}`;
}
