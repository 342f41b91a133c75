import type { Tag } from "../database/driver.ts";
import { controlChannel } from "./listen.ts";

/** Asks live consumers to run up to `concurrency` tasks at a time, and notifies them; resolves to the ids of those asked. */
export async function requestConcurrency(sql: Tag, ids: readonly string[], concurrency: number): Promise<string[]> {
  const rows = await sql`
    WITH asked AS (
      UPDATE ${sql.schema}.consumer
      SET wanted_concurrency = ${concurrency}::integer
      WHERE id = ANY (${ids}::uuid[]) AND lease_until > now()
      RETURNING id
    )
    SELECT id, pg_notify(${controlChannel(sql.schemaName)}, '') FROM asked
  `;
  return rows.map(({ id }) => id);
}

/** Takes over the concurrency that an operator asked a consumer for; undefined if none did. */
export async function takeConcurrency(sql: Tag, id: string): Promise<number | undefined> {
  const [row] = await sql`
    UPDATE ${sql.schema}.consumer
    SET concurrency = wanted_concurrency, wanted_concurrency = NULL
    WHERE id = ${id} AND wanted_concurrency IS NOT NULL
    RETURNING concurrency
  `;
  return row?.concurrency;
}

/** Reads which of the consumers have not taken over yet what they were asked for. */
export async function readUnansweredConcurrency(sql: Tag, ids: readonly string[]): Promise<string[]> {
  const rows = await sql`
    SELECT id
    FROM ${sql.schema}.consumer
    WHERE id = ANY (${ids}::uuid[]) AND wanted_concurrency IS NOT NULL
  `;
  return rows.map(({ id }) => id);
}
