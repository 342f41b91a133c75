import type { ClaimedTask } from "./claimed_task.ts";
import type { Tag } from "../database/driver.ts";

/** Reads the params of a task; undefined if the claim that read `claimSeq` no longer holds it. */
export async function readParams(
  sql: Tag,
  { id, claimSeq }: Pick<ClaimedTask, "id" | "claimSeq">,
): Promise<string | undefined> {
  const [row] = await sql`
    SELECT params
    FROM ${sql.schema}.task
    WHERE id = ${id}::bigint AND claim_seq = ${claimSeq}::bigint AND status = 'created'
  `;
  return row?.params;
}
