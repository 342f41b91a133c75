import type { Tag } from "../database/driver.ts";

/** The task that a signal is sent to: its id, or the unique key that it holds. */
export type SignalTarget = number | { readonly funcName: string; readonly uniqueKey: string };

/**
 * Sends a signal to a task, with a payload in the wire format, or null for undefined. Resolves to whether there is such a
 * task that has not ended. It joins the transaction of `sql`, and holds the record until that ends.
 */
export async function sendSignal(
  sql: Tag,
  target: SignalTarget,
  name: string,
  payload: string | null,
): Promise<boolean> {
  const [row] = typeof target === "number"
    ? await sql`SELECT ${sql.schema}._signal(${target}::bigint, ${name}::text, ${payload}::text) AS sent`
    : await sql`
      SELECT ${sql.schema}._signal_by_key(
        ${target.funcName}::text, ${target.uniqueKey}::text, ${name}::text, ${payload}::text
      ) AS sent
    `;
  return row!.sent;
}
